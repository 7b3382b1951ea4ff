"""MultinomialLogisticLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import LossLayer, require_label_each
from minicaffe.layers.registry import register
from minicaffe.ops.loss import MultinomialLogisticLoss as MultinomialLogisticLossOp


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(LossLayer):
    """Compute the negative log likelihood of the true classes, given probabilities.

    Shapes: p (N, ...), labels (N,) -> loss ()

    Notes
    -----
    loss = - sum of log p[label] / N; the gradient is -1 / (N p[label]) there and 0 elsewhere.
    Probabilities below 1e-20 are raised to it. For scores, SoftmaxWithLoss is faster and more
    precise.

    Differs from Caffe: a label that is not a class is an error; there it read foreign memory.
    """

    largest_loss = -math.log(1e-20)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the labels and plan."""
        super().reshape(bottom, top)
        require_label_each(self, *bottom)
        tensors = (blob.data for blob in (*bottom, *top))
        self.kernel = self.plan(MultinomialLogisticLossOp(), *tensors)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        self.kernel.forward(*(blob.data for blob in (*bottom, *top)))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the probabilities' diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            self.kernel.backward(bottom[0].data, bottom[1].data, top[0].diff, bottom[0].diff)
