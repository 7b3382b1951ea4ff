"""MVN: mean and variance normalisation."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.mvn import Mvn
from minicaffe.schema.minicaffe_pb2 import MVNParameter


@register("MVN")
class MVN(Layer[MVNParameter]):
    """Normalise each channel of each sample to mean 0 and variance 1.

    Shapes: x (N, C, ...) -> y (N, C, ...)

    Notes
    -----
    y = (x - mean) / (sqrt(variance) + eps), or y = x - mean with normalize_variance: false. With
    across_channels the statistics are those of the whole sample. dx = (dy - mean of dy - y mean of
    (dy y)) / (sqrt(variance) + eps).

    Differs from Caffe: in place, the gradient is right; there it was taken at the output. The top
    of a bottom with fewer than four axes has its shape; there it had four axes, (2, 3, 1, 1) for
    (2, 3).
    """

    role = "normalization"
    in_place = True
    overwrites_top_diff = True

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        proto, shape = self.settings, bottom[0].shape
        self.require_shape(shape, f'bottom "{bottom[0].name}" must have at least one axis')
        top[0].reshape(shape)
        op = Mvn(
            first_axis=1 if proto.across_channels else min(2, len(shape)),
            divide=proto.normalize_variance,
            eps=proto.eps,
        )
        self.kernel = self.plan(op, bottom[0].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)
