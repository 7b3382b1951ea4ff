"""Solver step over all parameters in one launch, and sum of squares for gradient clipping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.driver.device import THREADS, Address, Device, DeviceMemory
from minicaffe.backends.cuda.runtime.format import LARGEST, Format
from minicaffe.backends.cuda.runtime.loss_scale import scale_address
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.update import NonFiniteFlag, StepSize, SumOfSquares, Update, WeightAverage

CHUNK = 4096
FLOAT_BYTES = 4
# Required by the source, but not used by kernels that apply no rule.
_ANY_RULE = ("RULE=sgd", "DECAY=L2")
# Layout of struct Chunk in kernels/update.cu.
CHUNK_TYPE = np.dtype(
    [(name, "u8") for name in ("w", "dw", "h", "k")]
    + [("n", "i4"), ("lr_mult", "f4"), ("decay_mult", "f4"), ("unused", "i4")]
)


# An operand of `UpdateKernel.step`: w, dw, history, lr_mult, decay_mult.
_Operands: TypeAlias = tuple[CudaTensor, CudaTensor, Sequence[CudaTensor], float, float]


class UpdateRow(NamedTuple):
    """One parameter: addresses of values, gradient and history (0: none), and its size."""

    w: int
    dw: int
    h: int
    k: int
    n: int
    lr_mult: float
    decay_mult: float


class ChunkTable:
    """Device table of the chunk of each block; uploaded again only after a change."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._rows: list[UpdateRow] = []
        self._memory: DeviceMemory | None = None
        self.n_chunks = 0

    def upload(self, rows: list[UpdateRow]) -> Address:
        """Return the address of the table for these parameters.

        Parameters
        ----------
        rows : list of UpdateRow
            One for each parameter.
        """
        if self._memory is None or rows != self._rows:
            table = np.concatenate([np.zeros(0, CHUNK_TYPE), *map(_chunks, rows)])
            if self._memory is None or self._memory.size_bytes < table.nbytes:
                self._memory = self._device.allocate(max(table.nbytes, CHUNK_TYPE.itemsize))
            self._device.upload(self._memory.address, table.view(np.uint8))
            self._rows, self.n_chunks = rows, len(table)
        return self._memory.address


def _chunks(row: UpdateRow) -> npt.NDArray[np.void]:
    starts = np.arange(0, row.n, CHUNK)
    table = np.zeros(len(starts), CHUNK_TYPE)
    for name, address in zip(("w", "dw", "h", "k"), row[:4], strict=True):
        if address:
            table[name] = int(address) + starts * FLOAT_BYTES
    table["n"] = np.minimum(CHUNK, row.n - starts)
    table["lr_mult"], table["decay_mult"] = row.lr_mult, row.decay_mult
    return table


def _form(tensor: CudaTensor) -> Format:
    """Return float32 in a gradient's order, which parameters and history follow."""
    return Format(tensor.format.channels_last)


@kernel(Update)
class CudaUpdate(CudaKernel[Update]):
    """One step of all parameters."""

    file = "update"

    def __init__(self, backend: CudaBackend, op: Update, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        self.defines = (f"RULE={op.rule}", f"DECAY={op.regularization}")
        self._size = self.session.launch_parameters.slot(3)
        self._table = ChunkTable(self.device)
        # Largest value of the activation type; larger weights overflow to inf when converted.
        self._largest = LARGEST[backend.format.value]

    def step(
        self, parameters: Sequence[_Operands], size: Callable[[], StepSize], non_finite: CudaTensor
    ) -> None:
        """Update w, dw and history of all parameters; overwrite non_finite."""
        self._size.bind(lambda: np.array(size(), np.float32))
        rows = []
        for w, dw, history, lr_mult, decay_mult in parameters:
            form = _form(dw)
            tensors = (w, dw, *history)
            addresses = [tensor.change(form) for tensor in tensors]
            h, k, *_ = *addresses[2:], 0, 0
            rows.append(UpdateRow(addresses[0], addresses[1], h, k, w.size, lr_mult, decay_mult))
        table, scale = self._table.upload(rows), self.session.scale
        flag = non_finite.target()
        self.device.clear(flag, FLOAT_BYTES)
        if not self._table.n_chunks:
            return
        if scale is not None:
            self.function("find_non_finite")(self._table.n_chunks, THREADS, table, scale.address)
        numbers = (self._largest, self.op.momentum, self.op.decay2, self.op.delta)
        self.function("step")(
            self._table.n_chunks,
            THREADS,
            *(table, self._size.address, scale_address(scale), flag, *numbers),
        )
        if scale is not None:
            self.function("update_loss_scale")(1, 1, scale.address)


@kernel(SumOfSquares)
class CudaSumOfSquares(CudaKernel[SumOfSquares]):
    """Sum of squares of some tensors."""

    file = "update"

    def __init__(self, backend: CudaBackend, op: SumOfSquares, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        self.defines = _ANY_RULE
        self._table = ChunkTable(self.device)

    def forward(self, tensors: Sequence[CudaTensor]) -> float:
        """Return the sum."""
        self.session.log_host_access()
        rows: list[UpdateRow] = [
            UpdateRow(0, tensor.source(_form(tensor)), 0, 0, tensor.size, 0.0, 0.0)
            for tensor in tensors
        ]
        table = self._table.upload(rows)
        if not self._table.n_chunks:
            return 0.0
        sums = np.zeros(self._table.n_chunks, np.float64)
        to = self.scratch(max(sums.nbytes, 8), "sums")
        self.function("squares")(self._table.n_chunks, THREADS, table, to)
        self.device.download(to, sums)
        return float(sums.sum())


@kernel(WeightAverage)
class CudaWeightAverage(CudaKernel[WeightAverage]):
    """Running average of some tensors in one launch."""

    file = "update"

    def __init__(self, backend: CudaBackend, op: WeightAverage, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        self.defines = _ANY_RULE
        self._share = self.session.launch_parameters.slot(1)
        self._table = ChunkTable(self.device)

    def average(
        self,
        averages: Sequence[CudaTensor],
        weights: Sequence[CudaTensor],
        share: Callable[[], float],
    ) -> None:
        """Update the averages."""
        self._share.bind(lambda: np.array([share()], np.float32))
        rows = []
        for mean, w in zip(averages, weights, strict=True):
            form = _form(w)
            rows.append(UpdateRow(mean.change(form), w.source(form), 0, 0, w.size, 1.0, 0.0))
        table = self._table.upload(rows)
        if self._table.n_chunks:
            self.function("average")(self._table.n_chunks, THREADS, table, self._share.address)


@kernel(NonFiniteFlag)
class CudaNonFiniteFlag(CudaKernel[NonFiniteFlag]):
    """Adds the non-finite flag to a loss."""

    file = "_loss_sum"

    def forward(self, non_finite: CudaTensor, loss: CudaTensor) -> None:
        """Add non_finite to the loss."""
        term, to = non_finite.source(), loss.change()
        self.launch("non_finite", loss.size, term, to, loss.size)
