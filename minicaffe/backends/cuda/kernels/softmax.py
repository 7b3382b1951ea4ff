"""Softmax and its loss, in the order that x has where the classes are its channels."""

from __future__ import annotations

import math
from typing import NamedTuple

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.driver.device import THREADS, Address
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.kernels._loss_sum import LossSum
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.loss_scale import scale_address
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.backend import Shape
from minicaffe.ops.softmax import Softmax, SoftmaxLoss

WARP = 32
# From so many classes on, a block shares a row; less than so many pixels apart, a thread has none
# of its own.
LONG, NEAR = 256, 32


class Rows(NamedTuple):
    """Rows of classes: (outer, classes, inner), as kernels/softmax.cu has them."""

    outer: int
    classes: int
    inner: int

    @staticmethod
    def of(shape: Shape, axis: int, form: Format) -> Rows:
        """Return how the classes along `axis` lie in a format that `order` allows."""
        outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
        is_last = form.channels_last
        return Rows(outer * inner, shape[axis], 1) if is_last else Rows(outer, shape[axis], inner)

    @staticmethod
    def order(x: CudaTensor, axis: int) -> Format:
        """Return the format of x, in C order unless the classes are the channels."""
        form = x.format
        return form if axis == 1 else Format(False, form.value)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.outer * self.inner

    @property
    def team(self) -> int:
        """How many threads inverse_normalizer a row."""
        if self.inner >= NEAR or (self.inner > 1 and self.classes < WARP):
            return 1
        return WARP if self.classes < LONG else THREADS

    @property
    def args(self) -> tuple[int, int, int]:
        """Arguments of a kernel: ROWS."""
        return self.n_rows, self.classes, self.inner


class RowsKernel(CudaKernel):
    """What the kernels of softmax.cu inverse_normalizer."""

    file = "softmax"

    def use_team(self, rows: Rows) -> int:
        """Choose the functions for these rows; return how many rows a block has at once."""
        self.defines = (f"TEAM={rows.team}",)
        return THREADS // rows.team

    def labels(self, labels: CudaTensor, shape: Shape) -> tuple[Address, int, int, int]:
        """Return the arguments LABELS for scores of this shape."""
        axis, ignored = self.op.axis, self.op.ignore_label
        pixels = shape[:axis] + shape[axis + 1 :]
        per_item = max(math.prod(pixels[1:]), 1)
        return labels.source(), int(ignored is not None), ignored or 0, per_item


@kernel(Softmax)
class CudaSoftmax(RowsKernel):
    """Softmax."""

    def __init__(self, backend: CudaBackend, op: Softmax, x: CudaTensor, y: CudaTensor) -> None:
        super().__init__(backend, op)

    def forward(self, x: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        form = Rows.order(x, self.op.axis)
        self._run("forward", form, x.shape, (x.source(form), y.target(form)))

    def backward(self, y: CudaTensor, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        form = Rows.order(y, self.op.axis)
        self._run("backward", form, y.shape, (y.source(form), dy.source(form), dx.target(form)))

    def _run(self, name: str, form: Format, shape: Shape, addresses: tuple[Address, ...]) -> None:
        rows = Rows.of(shape, self.op.axis, form)
        each = self.use_team(rows)
        self.launch(
            name, -(-rows.n_rows // each) * THREADS, *addresses, *rows.args, value=form.value
        )


@kernel(SoftmaxLoss)
class CudaSoftmaxLoss(RowsKernel):
    """Softmax and multinomial logistic loss; p holds float, whatever x holds."""

    def __init__(self, backend: CudaBackend, op: SoftmaxLoss, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        shape = tensors[0].shape
        samples, pixels = math.prod(shape[: op.axis]), tensors[1].size
        self._sum = LossSum(backend, LossSum.normalizer(op.normalization, pixels, samples))
        self._label_error = self.session.label_errors.slot(tensors[1])
        # What inner products and convolutions read gradients in.
        self._value = backend.format.value

    def forward(self, x: CudaTensor, labels: CudaTensor, p: CudaTensor, loss: CudaTensor) -> None:
        """Overwrite p and loss."""
        form = Rows.order(x, self.op.axis)
        rows = Rows.of(x.shape, self.op.axis, form)
        blocks = self._sum.blocks(rows.n_rows, self.use_team(rows))
        given, labelled = x.source(form), self.labels(labels, x.shape)
        to = p.target(Format(form.channels_last))
        self.function("loss", form.value)(
            blocks,
            THREADS,
            given,
            to,
            self._sum.block_sums(blocks),
            self._label_error.address,
            *labelled,
            *rows.args,
        )
        self._sum.finish(blocks, loss)

    def backward(
        self, p: CudaTensor, labels: CudaTensor, dloss: CudaTensor, dx: CudaTensor
    ) -> None:
        """Overwrite dx."""
        order = Rows.order(p, self.op.axis).channels_last
        rows = Rows.of(p.shape, self.op.axis, Format(order))
        given, labelled = p.source(Format(order)), self.labels(labels, p.shape)
        form = Format(order, self._value)
        weight, to, scale = dloss.source(), dx.target(form), scale_address(dx.scale(form))
        self.use_team(rows)
        self.launch(
            "loss_backward",
            *(p.size, given, to, weight, self._sum.inverse_normalizer, scale, *labelled, p.size),
            *(*divisor(rows.classes), *divisor(rows.inner)),
            value=self._value,
        )
