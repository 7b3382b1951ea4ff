"""Upsample: two layers of this name, told apart by the number of bottoms."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape
from minicaffe.ops.upsample import RepeatPixels, Unpool
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import UpsampleParameter


@register("Upsample")
class Upsample(Layer[UpsampleParameter]):
    """Enlarge images: repeat pixels, or put values where max pooling found them.

    Shapes: x (N, C, H, W)[, mask (N, C, H, W)] -> y (N, C, H', W')

    Notes
    -----
    One bottom (YOLO): each pixel becomes scale x scale equal ones; scale is 1 by default.

    Two bottoms (SegNet, ENet): y[n, c, mask[n, c, i, j]] = x[n, c, i, j], 0 elsewhere, where mask
    is the second top of a Pooling layer and counts the pixels of a plane of y. (H', W') is
    (upsample_h, upsample_w), or (H, W) times scale, 2 by default, or times scale_h and scale_w;
    pad_out_h and pad_out_w take one row or column off it, for planes of odd sizes.

    Differs from SegNet: with upsample_h the gradient is computed as well; there it is 0.

    References
    ----------
    Badrinarayanan et al., "SegNet", 2017. Redmon and Farhadi, "YOLOv3", 2018.
    """

    bottoms = (1, 2)
    without_gradient = (1,)

    @property
    def reads_bottoms(self) -> bool:
        """Whether there is a mask."""
        return len(self.param.bottom) > 1

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the scale or the size."""
        proto = param.upsample_param
        if proto.HasField("upsample_h"):
            return f"to {proto.upsample_h}x{proto.upsample_w}"
        return f"x {proto.scale}" if proto.HasField("scale") else ""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its size and plan."""
        x = bottom[0]
        self.require_shape(
            len(x.shape) == 4, f'bottom "{x.name}" must be (N, C, H, W), it is {x.shape}'
        )
        n, c, h, w = x.shape
        if len(bottom) == 1:
            factors = self._factors()
            top[0].reshape((n, c, h * factors[0], w * factors[1]))
            self.repetition = self.plan(RepeatPixels(factors), x.data, top[0].data)
            return
        mask = bottom[1]
        self.require_shape(
            mask.shape == x.shape,
            f'bottom "{mask.name}" of shape {mask.shape} must hold one position for each value of '
            f'bottom "{x.name}" {x.shape}',
        )
        top[0].reshape((n, c, *self._unpooled_size(h, w)))
        self.unpooling = self.plan(Unpool(), x.data, mask.data, top[0].data)

    def _factors(self) -> Shape:
        proto, default = self.settings, 1 if len(self.param.bottom) == 1 else 2
        both = proto.HasField("scale_h"), proto.HasField("scale_w")
        self.require(
            both[0] == both[1], "upsample_param: scale_h and scale_w go together; set both"
        )
        scale = proto.scale if proto.HasField("scale") else default
        factors = (proto.scale_h, proto.scale_w) if all(both) else (scale, scale)
        self.require(min(factors) > 0, f"upsample_param: scale {factors} must be at least 1")
        return factors

    def _unpooled_size(self, h: int, w: int) -> Shape:
        proto = self.settings
        both = proto.HasField("upsample_h"), proto.HasField("upsample_w")
        self.require(
            both[0] == both[1], "upsample_param: upsample_h and upsample_w go together; set both"
        )
        if all(both):
            return proto.upsample_h, proto.upsample_w
        factors, less = self._factors(), (proto.pad_out_h, proto.pad_out_w)
        self.require(
            not any(less) or factors == (2, 2),
            "upsample_param: pad_out_h and pad_out_w are for scale: 2 only",
        )
        return h * factors[0] - less[0], w * factors[1] - less[1]

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        if len(bottom) == 1:
            self.repetition.forward(bottom[0].data, top[0].data)
        else:
            self.unpooling.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs; that of the mask is 0."""
        if any(propagate_down[1:]):
            bottom[1].diff.clear()
        if not propagate_down[0]:
            return
        if len(bottom) == 1:
            self.repetition.backward(top[0].diff, bottom[0].diff)
        else:
            self.unpooling.backward(bottom[1].data, top[0].diff, bottom[0].diff)
