"""Softmax and softmax loss; along the channels in the memory order of x."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, OpT, kernel
from minicaffe.backends.cuda.driver.device import THREADS, Address
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.kernels._loss_sum import LossSum
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.loss_scale import scale_address
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Shape
from minicaffe.ops.softmax import Softmax, SoftmaxLoss

WARP = 32
# A block cooperates on rows of at least LONG classes; a single thread processes a row if its
# classes have a stride of at least NEAR.
LONG, NEAR = 256, 32


class Rows(NamedTuple):
    """Rows of classes: (outer, classes, inner), as in kernels/softmax.cu."""

    outer: int
    classes: int
    inner: int

    @staticmethod
    def of(shape: Shape, axis: int, form: Format) -> Rows:
        """Return the layout of the classes along `axis` in a format returned by `order`."""
        outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
        is_last = form.channels_last
        return Rows(outer * inner, shape[axis], 1) if is_last else Rows(outer, shape[axis], inner)

    @staticmethod
    def order(x: CudaTensor, axis: int) -> Format:
        """Return the format of x, but in C order unless the classes are the channels."""
        form = x.format
        return form if axis == 1 else Format(False, form.value)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.outer * self.inner

    @property
    def team(self) -> int:
        """Number of threads that cooperate on a row."""
        if self.inner >= NEAR or (self.inner > 1 and self.classes < WARP):
            return 1
        return WARP if self.classes < LONG else THREADS

    @property
    def args(self) -> tuple[int, int, int]:
        """The kernel arguments ROWS."""
        return self.n_rows, self.classes, self.inner


class RowsKernel(CudaKernel[OpT]):
    """Base class of the kernels over rows of classes."""

    file = "softmax"

    def use_team(self, rows: Rows) -> int:
        """Select the kernel variant for these rows; return the number of rows per block."""
        self.defines = (f"TEAM={rows.team}",)
        return THREADS // rows.team


class LabelledOp(Protocol):
    """An op with labels along an axis of classes."""

    @property
    def axis(self) -> int:
        """The axis of the classes."""

    @property
    def ignore_label(self) -> int | None:
        """The label of rows that are not counted."""


def label_arguments(
    op: LabelledOp, labels: CudaTensor, shape: Shape
) -> tuple[Address, int, int, int]:
    """Return the kernel arguments LABELS for scores of this shape."""
    axis, ignored = op.axis, op.ignore_label
    pixels = shape[:axis] + shape[axis + 1 :]
    per_item = max(math.prod(pixels[1:]), 1)
    return labels.source(), int(ignored is not None), ignored or 0, per_item


@kernel(Softmax)
class CudaSoftmax(RowsKernel[Softmax]):
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
class CudaSoftmaxLoss(RowsKernel[SoftmaxLoss]):
    """Softmax and multinomial logistic loss; p is float for every type of x."""

    def __init__(self, backend: CudaBackend, op: SoftmaxLoss, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        if op.class_weights or op.smoothing:
            raise Unsupported("the cuda backend has no kernel for weighted or smoothed classes")
        shape = tensors[0].shape
        samples, pixels = math.prod(shape[: op.axis]), tensors[1].size
        self._sum = LossSum(backend, LossSum.normalizer(op.normalization, pixels, samples))
        self._label_error = self.session.label_errors.slot(tensors[1])
        # The type in which inner products and convolutions read gradients.
        self._value = backend.format.value

    def forward(self, x: CudaTensor, labels: CudaTensor, p: CudaTensor, loss: CudaTensor) -> None:
        """Overwrite p and loss."""
        form = Rows.order(x, self.op.axis)
        rows = Rows.of(x.shape, self.op.axis, form)
        blocks = self._sum.blocks(rows.n_rows, self.use_team(rows))
        given, labelled = x.source(form), label_arguments(self.op, labels, x.shape)
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
        given, labelled = p.source(Format(order)), label_arguments(self.op, labels, p.shape)
        form = Format(order, self._value)
        weight, to, scale = dloss.source(), dx.target(form), scale_address(dx.scale(form))
        self.use_team(rows)
        self.launch(
            "loss_backward",
            *(p.size, given, to, weight, self._sum.inverse_normalizer, scale, *labelled, p.size),
            *(*divisor(rows.classes), *divisor(rows.inner)),
            value=self._value,
        )
