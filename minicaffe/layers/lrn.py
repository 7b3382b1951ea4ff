"""LRN: local response normalisation."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.layout import Copy
from minicaffe.ops.lrn import Lrn
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import LRNParameter


@register("LRN")
class LRN(Layer[LRNParameter]):
    """Apply local response normalisation (LRN).

    Shapes: x (N, C, H, W) -> y (N, C, H, W)

    Notes
    -----
    y = x / (k + alpha / m * sum of x^2)^beta over the local_size channels around the value at the
    same position (ACROSS_CHANNELS, m = local_size) or the local_size x local_size window around it
    in its channel (WITHIN_CHANNEL, m = local_size^2, and k is 1 regardless of the field).
    Neighbours outside are zero, and m counts them. In place, the layer keeps a copy of its bottom.

    Differs from Caffe: in place, the gradient is right; there it was taken at the output.

    References
    ----------
    Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012.
    """

    role = "normalization"
    can_recompute = True
    in_place = True
    overwrites_top_diff = True
    quantized_type = "LRNRistretto"

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return size and kind of the window."""
        proto = param.lrn_param
        region = type(proto).NormRegion.Name(proto.norm_region)
        return f"{proto.local_size} {region.lower().replace('_', ' ')}"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the window; in place, create the blob that keeps the bottom."""
        size = self.settings.local_size
        self.require(size % 2 == 1, f"local_size: {size} must be odd, to have a middle")
        self.kept = Blob(self.context.backend, "kept") if bottom[0] is top[0] else None

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        proto, shape = self.settings, bottom[0].shape
        self.require_shape(
            len(shape) == 4, f'bottom "{bottom[0].name}" must be (N, C, H, W), it is {shape}'
        )
        top[0].reshape(shape)
        across = proto.norm_region == type(proto).ACROSS_CHANNELS
        op = Lrn(
            region="across" if across else "within",
            local_size=proto.local_size,
            alpha=proto.alpha,
            beta=proto.beta,
            k=proto.k if across else 1.0,
        )
        x = bottom[0].data
        if self.kept is not None:
            self.kept.reshape(shape)
            self.copy = self.plan(Copy(), x, self.kept.data)
            x = self.kept.data
        self.kernel = self.plan(op, x, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        x = bottom[0].data
        if self.kept is not None:
            self.copy.forward(x, self.kept.data)
            x = self.kept.data
        self.kernel.forward(x, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if not propagate_down[0]:
            return
        x = (bottom[0] if self.kept is None else self.kept).data
        self.kernel.backward(x, top[0].diff, bottom[0].diff)
