"""Softmax with infogain loss, which weights each confusion of classes."""

from __future__ import annotations

import math

from minicaffe.backends.cuda.backend import CudaBackend, kernel
from minicaffe.backends.cuda.driver.device import THREADS
from minicaffe.backends.cuda.kernels._loss_sum import LossSum
from minicaffe.backends.cuda.kernels.softmax import Rows, RowsKernel, label_arguments
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.loss_scale import scale_address
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.infogain_loss import InfogainLoss


@kernel(InfogainLoss)
class CudaInfogainLoss(RowsKernel[InfogainLoss]):
    """The loss over rows of classes; p is float for every type of x."""

    def __init__(self, backend: CudaBackend, op: InfogainLoss, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        samples, pixels = math.prod(tensors[0].shape[: op.axis]), tensors[1].size
        self._sum = LossSum(backend, LossSum.normalizer(op.normalization, pixels, samples))
        self._label_error = self.session.label_errors.slot(tensors[1])
        # The type in which inner products and convolutions read gradients.
        self._value = backend.format.value

    def forward(
        self, x: CudaTensor, labels: CudaTensor, h: CudaTensor, p: CudaTensor, loss: CudaTensor
    ) -> None:
        """Overwrite p and loss."""
        form = Rows.order(x, self.op.axis)
        rows = Rows.of(x.shape, self.op.axis, form)
        blocks = self._sum.blocks(rows.n_rows, self.use_team(rows))
        given, labelled = (x.source(form), h.source()), label_arguments(self.op, labels, x.shape)
        to = (
            p.target(Format(form.channels_last)),
            self._sum.block_sums(blocks),
            self._label_error.address,
        )
        self.function("infogain", form.value)(blocks, THREADS, *given, *to, *labelled, *rows.args)
        self._sum.finish(blocks, loss)

    def backward(
        self, p: CudaTensor, labels: CudaTensor, h: CudaTensor, dloss: CudaTensor, dx: CudaTensor
    ) -> None:
        """Overwrite dx."""
        order = Rows.order(p, self.op.axis).channels_last
        rows = Rows.of(p.shape, self.op.axis, Format(order))
        given, labelled = (
            (p.source(Format(order)), h.source()),
            label_arguments(self.op, labels, p.shape),
        )
        form = Format(order, self._value)
        weight, to, scale = dloss.source(), dx.target(form), scale_address(dx.scale(form))
        self.launch(
            "infogain_backward",
            -(-rows.n_rows // self.use_team(rows)) * THREADS,
            *(*given, to, weight, self._sum.inverse_normalizer, scale, *labelled, *rows.args),
            value=self._value,
        )
