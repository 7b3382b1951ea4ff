"""EuclideanLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import LossLayer
from minicaffe.layers.registry import register
from minicaffe.ops.loss import EuclideanLoss as EuclideanLossOp


@register("EuclideanLoss")
class EuclideanLoss(LossLayer):
    """Compute half the mean squared distance of two blobs, for regression.

    Shapes: a (N, ...), b (N, ...) -> loss ()

    Notes
    -----
    loss = sum of (a - b)^2 / (2 N); da = (a - b) / N = -db. Either bottom may be the target.
    """

    without_gradient = ()

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the samples have as many values and plan."""
        super().reshape(bottom, top)
        a, b = bottom
        self.require_shape(
            a.shape and math.prod(a.shape[1:]) == math.prod(b.shape[1:]),
            f'bottoms "{a.name}" {a.shape} and "{b.name}" {b.shape} must have as many values a '
            "sample",
        )
        self.kernel = self.plan(EuclideanLossOp(), a.data, b.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        a, b = bottom
        wanted = zip(bottom, propagate_down, strict=True)
        diffs = (blob.diff if needed else None for blob, needed in wanted)
        self.kernel.backward(a.data, b.data, top[0].diff, *diffs)
