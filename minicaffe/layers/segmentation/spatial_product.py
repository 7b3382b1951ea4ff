"""SpatialProduct."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.segmentation.spatial_product import SpatialProduct as SpatialProductOp


@register("SpatialProduct")
class SpatialProduct(Layer):
    """Multiply all channels of an image with one plane, an attention map for example.

    Shapes: x (N, C, H, W), s (N, 1, H, W) -> y (N, C, H, W)

    Notes
    -----
    y[n, c] = x[n, c] s[n]. The layer is that of DeepLab and PSPNet.
    """

    bottoms = 2

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the images' shape and plan."""
        x, s = bottom
        self.require_shape(
            len(x.shape) == 4 and s.shape == (x.shape[0], 1, *x.shape[2:]),
            f'bottom "{x.name}" must be (N, C, H, W) and "{s.name}" (N, 1, H, W); they are '
            f"{x.shape} and {s.shape}",
        )
        top[0].reshape(x.shape)
        self.kernel = self.plan(SpatialProductOp(), x.data, s.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        wanted = zip(bottom, propagate_down, strict=True)
        dx, ds = (blob.diff if needed else None for blob, needed in wanted)
        self.kernel.backward(bottom[0].data, bottom[1].data, top[0].diff, dx, ds)
