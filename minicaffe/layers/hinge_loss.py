"""HingeLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import LossLayer, require_label_each
from minicaffe.layers.registry import register
from minicaffe.ops.loss import HingeLoss as HingeLossOp
from minicaffe.ops.loss import HingeNorm
from minicaffe.schema.minicaffe_pb2 import HingeLossParameter


@register("HingeLoss")
class HingeLoss(LossLayer[HingeLossParameter]):
    """Compute the one-against-all hinge loss.

    Shapes: x (N, ...), labels (N,) -> loss ()

    Notes
    -----
    The values of a sample are the scores of its classes. With s = -1 for the true class and 1 for
    the others, margins = max(0, 1 + s x); norm: L1 (the default) has loss = sum of margins / N and
    dx = s / N where they are above 0, L2 has sum of margins^2 / N and 2 s margins / N. As in Caffe,
    the forward pass leaves the margins in the diff of x, which backward overwrites.

    Differs from Caffe: a label that is not a class is an error; there it read foreign memory. The
    loss is NaN if a score is; there such a margin counted as 0.
    """

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the labels and plan."""
        super().reshape(bottom, top)
        x, labels = bottom
        require_label_each(self, x, labels)
        norm = type(self.settings).Norm.Name(self.settings.norm)
        op = HingeLossOp(cast(HingeNorm, norm))
        self.kernel = self.plan(op, x.data, labels.data, x.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss, and the scores' diff with the margins."""
        x, labels = bottom
        self.kernel.forward(x.data, labels.data, x.diff, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the scores' diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            self.kernel.backward(bottom[0].data, bottom[1].data, top[0].diff, bottom[0].diff)
