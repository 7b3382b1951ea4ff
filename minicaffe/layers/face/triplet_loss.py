"""TripletLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import LossLayer
from minicaffe.layers.registry import register
from minicaffe.ops.face.triplet_loss import TripletLoss as TripletLossOp
from minicaffe.schema.forks_pb2 import TripletLossParameter


@register("TripletLoss")
class TripletLoss(LossLayer[TripletLossParameter]):
    """Compute the loss of triplets: an anchor, a sample of its class, a sample of another class.

    Shapes: a (N, ...), p (N, ...), n (N, ...) -> loss ()

    Notes
    -----
    loss = sum of max(0, margin + |a - p|^2 - |a - n|^2) / (2 N). The layer is that of caffe-windows
    (happynear).

    References
    ----------
    Schroff et al., "FaceNet: a unified embedding for face recognition and clustering", 2015.
    """

    bottoms = 3
    without_gradient = ()

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there are triplets and plan."""
        super().reshape(bottom, top)
        a = bottom[0]
        for other in bottom[1:]:
            self.require_shape(
                a.shape[:1] == other.shape[:1]
                and math.prod(a.shape[1:]) == math.prod(other.shape[1:]),
                f'bottoms "{a.name}" {a.shape} and "{other.name}" {other.shape} must have as many '
                "samples of as many values",
            )
        op = TripletLossOp(self.settings.margin)
        self.kernel = self.plan(op, *(blob.data for blob in (*bottom, *top)))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        self.kernel.forward(*(blob.data for blob in (*bottom, *top)))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the vectors' diffs."""
        a, p, n = (blob.data for blob in bottom)
        wanted = zip(bottom, propagate_down, strict=True)
        diffs = [blob.diff if needed else None for blob, needed in wanted]
        self.kernel.backward((a, p, n), top[0].diff, diffs)
