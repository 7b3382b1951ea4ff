"""MaskResize."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.rois.region_layer import require_map
from minicaffe.ops.rois.mask_resize import MaskResize as MaskResizeOp
from minicaffe.schema.minicaffe_pb2 import LayerParameter, MaskResizeParameter


@register("MaskResize")
class MaskResize(Layer[MaskResizeParameter]):
    """Resize masks, interpolating linearly.

    Shapes: x (N, C, H, W) -> y (N, C, output_height, output_width)

    Notes
    -----
    y[i, j] is x at row i H / output_height and column j W / output_width; beyond the last pixel, it
    is that pixel.

    Differs from MNC: the CPU computes it, and the gradient counts every pixel that is taken from
    another; there a window of two by two missed some if the output is larger than the input.

    Source: Dai, He, Sun, "Instance-aware Semantic Segmentation via Multi-task Network Cascades",
    CVPR 2016.
    """

    reads_bottoms = False

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return "14x14"."""
        proto = param.mask_resize_param
        return f"{proto.output_height}x{proto.output_width}"

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes, shape the top and plan."""
        x, proto = bottom[0], self.settings
        self.require(
            proto.output_height > 0 and proto.output_width > 0,
            f"mask_resize_param {{ output_height: {proto.output_height} output_width: "
            f"{proto.output_width} }}: both must be at least 1",
        )
        require_map(self, x)
        self.require_shape(
            x.shape[2] * x.shape[3] > 0, f'bottom "{x.name}" {x.shape} has no pixels'
        )
        top[0].reshape((*x.shape[:2], proto.output_height, proto.output_width))
        self.kernel = self.plan(MaskResizeOp(), x.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)
