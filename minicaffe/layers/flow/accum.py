"""Accum."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.interp import Interp
from minicaffe.schema.forks_pb2 import AccumParameter


@register("Accum")
class Accum(Layer[AccumParameter]):
    """Enlarge images by bilinear interpolation that keeps the corner pixels.

    Shapes: x (N, C, H, W)[, reference (N, C', H', W')] -> y (N, C, H', W')

    Notes
    -----
    The new size is top_height and top_width, or with have_reference: true that of the second
    bottom. Pixel i of H' lies at i (H - 1) / (H' - 1) of x. The layer is that of FlowNet2.

    Differs from FlowNet2: there is a gradient. Sizes below that of x, and size_divisible_by, are
    errors.
    """

    bottoms = (1, 2)
    without_gradient = (1,)
    reads_bottoms = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its size and plan."""
        proto, x = self.settings, bottom[0]
        for blob in bottom:
            self.require_shape(
                len(blob.shape) == 4,
                f'bottom "{blob.name}" must be (N, C, H, W), it is {blob.shape}',
            )
        self.require(
            (len(bottom) == 2) == proto.have_reference,
            "a second bottom goes together with have_reference: true; set both or neither",
        )
        self.require(
            not proto.size_divisible_by,
            "size_divisible_by is not supported; set top_height and top_width",
        )
        size = bottom[1].shape[2:] if proto.have_reference else (proto.top_height, proto.top_width)
        self.require_shape(
            all(0 < old <= new for old, new in zip(x.shape[2:], size, strict=True)),
            f'bottom "{x.name}" has images of {x.shape[2:]}, which cannot become {size}: this type '
            "only enlarges",
        )
        top[0].reshape((*x.shape[:2], *size))
        self.kernel = self.plan(Interp(), x.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)
