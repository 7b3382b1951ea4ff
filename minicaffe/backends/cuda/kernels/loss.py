"""Losses except softmax loss, on plain values: labels are plain, and the inputs are small."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, OpT, kernel
from minicaffe.backends.cuda.driver.device import THREADS, Address
from minicaffe.backends.cuda.kernels._channel_sums import NULL
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.kernels._loss_sum import LossSum
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.loss import (
    ContrastiveLoss,
    EuclideanLoss,
    HingeLoss,
    MultinomialLogisticLoss,
    SigmoidCrossEntropyLoss,
)

WARP = 32


class LossKernel(CudaKernel[OpT]):
    """Base class of the kernels of loss.cu.

    Attributes
    ----------
    samples : int
        Size of the first axis, at least 1.
    length : int
        Number of values of a sample.
    """

    file = "loss"

    def __init__(self, backend: CudaBackend, op: OpT, x: CudaTensor, normalizer: float) -> None:
        super().__init__(backend, op)
        self.samples = max(x.shape[0], 1)
        self.length = x.size // self.samples
        self.sum = LossSum(backend, normalizer)


def _targets(*tensors: CudaTensor | None) -> list[Address]:
    return [NULL if tensor is None else tensor.target() for tensor in tensors]


@kernel(EuclideanLoss)
class CudaEuclideanLoss(LossKernel[EuclideanLoss]):
    """Half the mean squared distance."""

    def __init__(self, backend: CudaBackend, op: EuclideanLoss, *tensors: CudaTensor) -> None:
        super().__init__(backend, op, tensors[0], 2 * max(tensors[0].shape[0], 1))

    def forward(self, a: CudaTensor, b: CudaTensor, loss: CudaTensor) -> None:
        """Overwrite loss."""
        blocks = self.sum.blocks(a.size)
        self.function("euclidean")(
            blocks, THREADS, a.source(), b.source(), self.sum.block_sums(blocks), a.size
        )
        self.sum.finish(blocks, loss)

    def backward(
        self,
        a: CudaTensor,
        b: CudaTensor,
        dloss: CudaTensor,
        da: CudaTensor | None,
        db: CudaTensor | None,
    ) -> None:
        """Overwrite da and db."""
        given = (a.source(), b.source(), dloss.source())
        to = _targets(da, db)
        self.launch("euclidean_backward", a.size, *given, *to, a.size, 1 / self.samples)


@kernel(SigmoidCrossEntropyLoss)
class CudaSigmoidCrossEntropyLoss(LossKernel[SigmoidCrossEntropyLoss]):
    """Cross entropy of the sigmoid of each value."""

    def __init__(
        self, backend: CudaBackend, op: SigmoidCrossEntropyLoss, *tensors: CudaTensor
    ) -> None:
        x = tensors[0]
        normalizer = LossSum.normalizer(op.normalization, x.size, x.shape[0])
        super().__init__(backend, op, x, normalizer)
        self._ignored = (int(op.ignore_label is not None), op.ignore_label or 0)

    def forward(self, x: CudaTensor, t: CudaTensor, loss: CudaTensor) -> None:
        """Overwrite loss."""
        blocks = self.sum.blocks(x.size)
        given, targets, block_sums = x.source(), t.source(), self.sum.block_sums(blocks)
        self.function("sigmoid")(
            blocks, THREADS, given, block_sums, targets, *self._ignored, x.size
        )
        self.sum.finish(blocks, loss)

    def backward(self, x: CudaTensor, t: CudaTensor, dloss: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        given, targets, weight = x.source(), t.source(), dloss.source()
        args = (
            given,
            dx.target(),
            weight,
            self.sum.inverse_normalizer,
            targets,
            *self._ignored,
            x.size,
        )
        self.launch("sigmoid_backward", x.size, *args)


@kernel(HingeLoss)
class CudaHingeLoss(LossKernel[HingeLoss]):
    """One-versus-all hinge loss."""

    def __init__(self, backend: CudaBackend, op: HingeLoss, *tensors: CudaTensor) -> None:
        super().__init__(backend, op, tensors[0], max(tensors[0].shape[0], 1))
        self._label_error = self.session.label_errors.slot(tensors[1])
        self._squares = int(op.norm == "L2")

    def forward(
        self, x: CudaTensor, labels: CudaTensor, margins: CudaTensor, loss: CudaTensor
    ) -> None:
        """Overwrite margins and loss."""
        blocks = self.sum.blocks(x.size)
        given, true = x.source(), labels.source()
        self.function("hinge")(
            blocks,
            THREADS,
            *(
                given,
                true,
                margins.target(),
                self.sum.block_sums(blocks),
                self._label_error.address,
                x.size,
            ),
            *(*divisor(self.length), self._squares),
        )
        self.sum.finish(blocks, loss)

    def backward(
        self, x: CudaTensor, labels: CudaTensor, dloss: CudaTensor, dx: CudaTensor
    ) -> None:
        """Overwrite dx."""
        given, true, weight = x.source(), labels.source(), dloss.source()
        args = (given, true, dx.target(), weight, x.size, *divisor(self.length))
        self.launch("hinge_backward", x.size, *args, self._squares, 1 / self.samples)


@kernel(MultinomialLogisticLoss)
class CudaMultinomialLogisticLoss(LossKernel[MultinomialLogisticLoss]):
    """Negative logarithm of the true class's probability."""

    def __init__(
        self, backend: CudaBackend, op: MultinomialLogisticLoss, *tensors: CudaTensor
    ) -> None:
        super().__init__(backend, op, tensors[0], max(tensors[0].shape[0], 1))
        self._label_error = self.session.label_errors.slot(tensors[1])

    def forward(self, p: CudaTensor, labels: CudaTensor, loss: CudaTensor) -> None:
        """Overwrite loss."""
        rows = p.shape[0]
        blocks = self.sum.blocks(rows)
        given, true = p.source(), labels.source()
        args = (
            given,
            true,
            self.sum.block_sums(blocks),
            self._label_error.address,
            rows,
            self.length,
        )
        self.function("logistic")(blocks, THREADS, *args)
        self.sum.finish(blocks, loss)

    def backward(
        self, p: CudaTensor, labels: CudaTensor, dloss: CudaTensor, dp: CudaTensor
    ) -> None:
        """Overwrite dp."""
        given, true, weight = p.source(), labels.source(), dloss.source()
        args = (given, true, dp.target(), weight, p.size, *divisor(self.length), 1 / self.samples)
        self.launch("logistic_backward", p.size, *args)


@kernel(ContrastiveLoss)
class CudaContrastiveLoss(LossKernel[ContrastiveLoss]):
    """Squared distance of similar pairs, margin violation of dissimilar pairs."""

    def __init__(self, backend: CudaBackend, op: ContrastiveLoss, *tensors: CudaTensor) -> None:
        super().__init__(backend, op, tensors[0], 2 * max(tensors[0].shape[0], 1))
        self._distances = self.device.allocate(4 * self.samples)
        self._numbers = (op.margin, int(op.legacy))

    def forward(self, a: CudaTensor, b: CudaTensor, similar: CudaTensor, loss: CudaTensor) -> None:
        """Overwrite loss."""
        rows = a.shape[0]
        blocks = self.sum.blocks(rows, THREADS // WARP)
        self.function("contrastive")(
            blocks,
            THREADS,
            *(a.source(), b.source(), similar.source(), self._distances.address),
            *(self.sum.block_sums(blocks), rows, self.length, *self._numbers),
        )
        self.sum.finish(blocks, loss)

    def backward(
        self,
        a: CudaTensor,
        b: CudaTensor,
        similar: CudaTensor,
        dloss: CudaTensor,
        da: CudaTensor | None,
        db: CudaTensor | None,
    ) -> None:
        """Overwrite da and db."""
        given = (a.source(), b.source(), similar.source(), self._distances.address, dloss.source())
        size = (a.size, *divisor(self.length))
        to = _targets(da, db)
        self.launch(
            "contrastive_backward", a.size, *given, *to, *size, *self._numbers, 1 / self.samples
        )
