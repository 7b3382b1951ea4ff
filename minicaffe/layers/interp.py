"""Interp."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape
from minicaffe.ops.interp import Interp as InterpOp
from minicaffe.schema.forks_pb2 import InterpParameter


@register("Interp")
class Interp(Layer[InterpParameter]):
    """Resize images by bilinear interpolation that keeps the corner pixels.

    Shapes: x (N, C, H, W)[, reference (N, C', H', W')] -> y (N, C, H', W')

    Notes
    -----
    pad_beg and pad_end, 0 or less, leave out as many rows and columns at the beginning and the end;
    h is what remains. The new height is, in this order: that of the second bottom (with
    use_blob_size: true); with shrink_factor s, (h - 1) / s + 1; with zoom_factor z, also after
    shrinking, h + (h - 1) (z - 1); else `height`. Likewise the width. Pixel i of h' lies at
    i (h - 1) / (h' - 1) of x.

    References
    ----------
    Chen et al., "DeepLab", 2016 (the layer of its Caffe, and of PSPNet's).
    """

    bottoms = (1, 2)
    without_gradient = (1,)
    reads_bottoms = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        proto = self.settings
        self.require(
            proto.pad_beg <= 0 and proto.pad_end <= 0,
            f"interp_param: pad_beg: {proto.pad_beg} and pad_end: {proto.pad_end} must be 0, or "
            "negative to leave out rows and columns",
        )
        self.require(
            proto.zoom_factor > 0 and proto.shrink_factor > 0,
            "interp_param: zoom_factor and shrink_factor must be at least 1",
        )
        self.require(
            (len(bottom) == 2) == proto.use_blob_size,
            "interp_param: a second bottom, whose size is taken, goes together with use_blob_size: "
            "true; set both or neither",
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its size and plan."""
        for blob in bottom:
            self.require_shape(
                len(blob.shape) == 4,
                f'bottom "{blob.name}" must be (N, C, H, W), it is {blob.shape}',
            )
        x, crop = bottom[0], (-self.settings.pad_beg, -self.settings.pad_end)
        left = tuple(n - sum(crop) for n in x.shape[2:])
        self.require_shape(
            min(left) > 0,
            f'bottom "{x.name}" has images of {x.shape[2:]}; nothing of them remains without the '
            f"first {crop[0]} and last {crop[1]} rows and columns",
        )
        size = bottom[1].shape[2:] if len(bottom) > 1 else self._size(left)
        self.require_shape(
            min(size) > 0,
            f"interp_param: the new size {size} must be at least 1 x 1; set height and width, or "
            "zoom_factor or shrink_factor",
        )
        top[0].reshape((*x.shape[:2], *size))
        self.kernel = self.plan(InterpOp(crop), x.data, top[0].data)

    def _size(self, size: Shape) -> Shape:
        proto = self.settings
        if proto.HasField("shrink_factor"):
            size = tuple((n - 1) // proto.shrink_factor + 1 for n in size)
        elif not proto.HasField("zoom_factor"):
            return proto.height, proto.width
        return tuple(n + (n - 1) * (proto.zoom_factor - 1) for n in size)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs; that of the reference is 0."""
        if any(propagate_down[1:]):
            bottom[1].diff.clear()
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)
