"""DomainTransform."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.segmentation.domain_transform import DomainTransform as DomainTransformOp
from minicaffe.schema.forks_pb2 import DomainTransformParameter


@register("DomainTransform")
class DomainTransform(Layer[DomainTransformParameter]):
    """Smooth score maps, but not across edges.

    Shapes: x (N, C, H, W), edges (N, 1, H, W), sizes (N, 1, 1, 2) -> y (N, C, H, W)

    Notes
    -----
    A recursive filter along rows and columns, in both directions, num_iter times with falling
    width. Neighbours are mixed with the weight w = exp(-sqrt(2) / sigma (1 + edges spatial_sigma /
    range_sigma)), min_weight at least; round i of K has sigma = spatial_sigma sqrt(3) 2^(K - i) /
    sqrt(4^K - 1). Only the first sizes[n] rows and columns of an image are smoothed; the rest, the
    padding, is copied. The gradients of scores and edges are exact. The layer is that of DeepLab
    and PSPNet.

    References
    ----------
    Chen et al., "Semantic image segmentation with task-specific edge detection using CNNs and a
    discriminatively trained domain transform", 2016.
    """

    bottoms = 3
    without_gradient = (2,)
    reads_bottoms = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the scores' shape and plan."""
        (x, edges, sizes), proto = bottom, self.settings
        self.require_shape(
            len(x.shape) == 4 and edges.shape == (x.shape[0], 1, *x.shape[2:]),
            f'bottom "{x.name}" must be (N, C, H, W) and "{edges.name}" (N, 1, H, W); they are '
            f"{x.shape} and {edges.shape}",
        )
        self.require_shape(
            sizes.shape[:1] == x.shape[:1] and sizes.count == 2 * x.shape[0],
            f'bottom "{sizes.name}" {sizes.shape} must have rows and columns of {x.shape[0]} '
            "images, (N, 1, 1, 2)",
        )
        self.require(proto.num_iter > 0, f"num_iter: {proto.num_iter} must be at least 1")
        for field in ("spatial_sigma", "range_sigma"):
            value = getattr(proto, field)
            self.require(value > 0, f"{field}: {value:g} must be above 0")
        top[0].reshape(x.shape)
        op = DomainTransformOp(
            proto.num_iter, proto.spatial_sigma, proto.range_sigma, proto.min_weight
        )
        self.kernel = self.plan(op, x.data, edges.data, sizes.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(*(blob.data for blob in (*bottom, *top)))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the diffs of scores and edges."""
        self.require_no_gradient(propagate_down)
        wanted = zip(bottom[:2], propagate_down, strict=False)
        dx, dedges = (blob.diff if needed else None for blob, needed in wanted)
        if dx is not None or dedges is not None:
            self.kernel.backward(top[0].diff, dx, dedges)
