"""SmoothL1Loss of Fast R-CNN and SSD."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.context import LayerContext
from minicaffe.layers.loss import LossLayer
from minicaffe.layers.registry import register
from minicaffe.layers.rois.region_layer import clear_diffs
from minicaffe.ops.rois.smooth_l1_loss import SmoothL1Loss as SmoothL1LossOp
from minicaffe.schema.minicaffe_pb2 import LayerParameter, SmoothL1LossParameter


@register("SmoothL1Loss")
class SmoothL1Loss(LossLayer[SmoothL1LossParameter]):
    """Compute a loss that is quadratic for small differences and linear for large ones.

    Shapes: a (N, ...), b (N, ...)[, inside (N, ...), outside (N, ...)] -> loss ()

    Notes
    -----
    loss = sum of outside * f(inside * (a - b)) / N, with f(d) = 0.5 (sigma d)^2 where
    |d| < 1 / sigma^2, |d| - 0.5 / sigma^2 elsewhere; da = outside * inside * f'(...) / N = -db.

    Two layers have this name. That of SSD has two bottoms and, like other losses, the loss weight
    1. That of Fast R-CNN has weights or smooth_l1_loss_param, and **no loss weight by default**:
    without loss_weight it computes a number, but does not train. A layer with two bottoms and
    without smooth_l1_loss_param is SSD's.

    Source: Girshick, "Fast R-CNN", ICCV 2015, equation 3.
    """

    bottoms = (2, 4)

    def __init__(self, param: LayerParameter, context: LayerContext) -> None:
        super().__init__(param, context)
        is_ssd = len(param.bottom) == 2 and not param.HasField("smooth_l1_loss_param")
        self.loss_weight = 1.0 if is_ssd else 0.0
        self.without_gradient = tuple(range(2, len(param.bottom)))

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the number of bottoms and sigma."""
        self.require(
            len(bottom) != 3,
            "there are three bottoms; give two, or four: predictions, targets, inside and outside "
            "weights",
        )
        sigma = self.settings.sigma
        self.require(sigma > 0, f"sigma: {sigma:g} must be above 0")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes and plan."""
        super().reshape(bottom, top)
        require_like(self, bottom)
        op = SmoothL1LossOp(self.settings.sigma)
        self.kernel = self.plan(op, *(blob.data for blob in bottom), top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        self.kernel.forward([blob.data for blob in bottom], top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the diffs of the first two bottoms; weights get a gradient of 0."""
        a, b = (x.diff if to else None for x, to in zip(bottom[:2], propagate_down, strict=False))
        self.kernel.backward([x.data for x in bottom], top[0].diff, a, b)
        clear_diffs(bottom[2:], propagate_down[2:])


def require_like(layer: Layer, bottom: Blobs) -> None:
    """Raise a ShapeError unless all bottoms have as many values a sample as the first."""
    x = bottom[0]
    for other in bottom[1:]:
        layer.require_shape(
            other.count == x.count and other.shape[:1] == x.shape[:1],
            f'bottoms "{x.name}" {x.shape} and "{other.name}" {other.shape} must have as many '
            "values a sample",
        )
