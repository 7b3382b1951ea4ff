"""CenterLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import LossLayer, require_label_each
from minicaffe.layers.registry import register
from minicaffe.ops.face.center_loss import CenterLoss as CenterLossOp
from minicaffe.schema.forks_pb2 import CenterLossParameter


@register("CenterLoss")
class CenterLoss(LossLayer[CenterLossParameter]):
    """Compute the distance of samples to the learned centre of their class.

    Shapes: x (N, K...), labels (N,) -> loss ()

    Notes
    -----
    loss = sum of |x[n] - c[labels[n]]|^2 / (2 N), with centres c. The gradient of a centre is
    the sum of c - x over the samples of its class, divided by 1 + their number, whatever the
    loss weight; so the learning rate of the centres is their step towards the mean. Without
    loss_weight this layer is not a loss: its weight is 0, as in the fork.

    Parameters: centres (num_output, K). The layer is that of caffe-face.

    References
    ----------
    Wen et al., "A discriminative feature learning approach for deep face recognition", 2016.
    """

    loss_weight = 0.0

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the centres."""
        proto, x = self.settings, bottom[0]
        self.require(proto.num_output > 0, "num_output is missing or 0; it must be at least 1")
        self.require(
            proto.distance_type == "L2", f'distance_type: "{proto.distance_type}" must be "L2"'
        )
        self.require(
            self.axis(proto.axis, x) == 1, f"axis: {proto.axis} must be 1, behind the samples"
        )
        self.add_parameter((proto.num_output, math.prod(x.shape[1:])), proto.center_filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the labels and plan."""
        super().reshape(bottom, top)
        x, labels = bottom
        require_label_each(self, x, labels)
        inputs = self.blobs[0].shape[1]
        self.require_shape(
            math.prod(x.shape[1:]) == inputs,
            f'bottom "{x.name}" of shape {x.shape} must have {inputs} values a sample, as the '
            "centres",
        )
        centers = self.blobs[0].data
        self.kernel = self.plan(CenterLossOp(), x.data, labels.data, centers, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        x, labels = (blob.data for blob in bottom)
        self.kernel.forward(x, labels, self.blobs[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff, add to the centres'."""
        self.require_no_gradient(propagate_down)
        x, labels = (blob.data for blob in bottom)
        centers, (steps, _) = self.blobs[0].data, self.weight_diffs()
        if steps is not None:
            self.kernel.move_centers(x, labels, centers, steps)
        if propagate_down[0]:
            self.kernel.backward(x, labels, centers, top[0].diff, bottom[0].diff)
