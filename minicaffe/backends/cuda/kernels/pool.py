"""Max, average and stochastic pooling in the format of x."""

from __future__ import annotations

import math

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.driver.device import Address, DeviceMemory
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Shape
from minicaffe.ops.pool import Pool
from minicaffe.random import RandomStream

# Windows up to this size are indexed by a byte.
BYTE_TAPS = 256


@kernel(Pool)
class CudaPool(CudaKernel[Pool]):
    """Pooling that stores the index of the selected pixel of each window.

    The indices are in the backend's preferred order, so that forward and backward may use different
    formats.
    """

    file = "pool"

    def __init__(self, backend: CudaBackend, op: Pool, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        if len(op.kernel) != 2:
            raise Unsupported(f"the cuda backend pools images, not windows of {op.kernel}")
        x, y = tensors[:2]
        self._x, self._y = x.shape, y.shape
        is_small = math.prod(op.kernel) <= BYTE_TAPS
        self.defines = (f"CHOICE={'byte' if is_small else 'int'}",)
        self._windows = (*x.shape[2:], *op.kernel, *op.stride, *op.pad)
        self._chooses = op.mode == "max" or (op.mode == "stochastic" and op.training)
        self._choice: DeviceMemory | None = None
        if self._chooses:
            self._choice = self.device.allocate(max(y.size * (1 if is_small else 4), 4))
        # Backward divides by the strides.
        self._out = (*op.out, *divisor(op.stride[0]), *divisor(op.stride[1]))
        self._choice_last = int(backend.format.channels_last)
        self._x_last = backend.format.channels_last
        self._stream = self.session.launch_parameters.slot(5) if op.mode == "stochastic" else None

    def forward(
        self,
        x: CudaTensor,
        y: CudaTensor,
        mask: CudaTensor | None = None,
        stream: RandomStream | None = None,
    ) -> None:
        """Overwrite y and, if given, mask."""
        form = x.format
        self._x_last = form.channels_last
        given, to = x.source(form), y.target(form)
        dimensions = (y.size, *_dimensions(self._y, form), *self._windows)
        if self.op.mode == "ave":
            self.launch("forward_ave", y.size, given, to, *dimensions, value=form.value)
            return
        if self._choice is None:
            self.launch("forward_weighted", y.size, given, to, *dimensions, value=form.value)
            return
        if self._stream is not None and stream is not None:
            name, extra = "forward_stochastic", self._stream.address
            self._stream.bind(stream.words)
        else:
            name = "forward_max"
            extra = Address(0) if mask is None else mask.target(Format(form.channels_last))
        choice = self._choice.address
        self.launch(
            name, y.size, given, to, choice, extra, *dimensions, self._choice_last, value=form.value
        )

    def backward(self, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx in x's order, because converting the smaller dy is cheaper."""
        form = Format(self._x_last, dy.format.value)
        if self.op.mode != "ave" and self._choice is None:
            # As in the reference: weighted pooling in the TEST phase has no gradient.
            dx.clear()
            return
        given, to = dy.source(form), dx.target(form)
        dimensions = (dx.size, *_dimensions(self._x, form), *self._windows, *self._out)
        if self._choice is None:
            self.launch("backward_ave", dx.size, given, to, *dimensions, value=form.value)
            return
        choice = self._choice.address
        self.launch(
            "backward_chosen", dx.size, given, choice, to, *dimensions, self._choice_last,
            value=form.value,
        )  # fmt: skip


def _dimensions(shape: Shape, form: Format) -> tuple[int, ...]:
    """Return the kernel arguments DIMENSIONS in pool.cu."""
    _, channels, rows, columns = shape
    last = int(form.channels_last)
    return (*divisor(channels), *divisor(rows), *divisor(columns), last)
