"""ChannelScale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.axpy import PixelScale
from minicaffe.ops.layout import Copy
from minicaffe.schema.forks_pb2 import ChannelScaleParameter


@register("ChannelScale")
class ChannelScale(Layer[ChannelScaleParameter]):
    """Multiply all channels of a pixel by one factor, the second bottom.

    Shapes: x (N, C, ...), s (N, 1, ...) -> y (N, C, ...)

    Notes
    -----
    y[n, c, p] = s[n, p] x[n, c, p]. With do_forward: false the top is a copy of x; with
    do_backward_feature: false the gradient of x is that of the top; with do_backward_scale: false
    that of s is 0. The layer of happynear's Caffe, where global_scale: true, an error here, takes
    the factor from a parameter that nothing sets on the CPU.
    """

    bottoms = 2

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Refuse a global scale."""
        self.require(
            not self.settings.global_scale,
            "global_scale: true is not computed; remove it, or use a Scale layer",
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the shape of x and plan."""
        x, s = bottom
        self.require_shape(
            len(x.shape) >= 2, f'bottom "{x.name}" must be (N, C, ...), it is {x.shape}'
        )
        pixels = math.prod(x.shape[2:])
        self.require_shape(
            s.shape[:1] == x.shape[:1] and s.count == x.shape[0] * pixels,
            f'bottom "{s.name}" of shape {s.shape} must hold one factor for each of the {pixels} '
            f'pixels of a sample of bottom "{x.name}" {x.shape}',
        )
        top[0].reshape(x.shape)
        self.kernel = self.plan(PixelScale(), x.data, s.data, top[0].data)
        self.copy = self.plan(Copy(), x.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        if self.settings.do_forward:
            self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)
        else:
            self.copy.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        (x, s), dy = bottom, top[0].diff
        if propagate_down[0] and self.settings.do_backward_feature:
            self.kernel.forward(dy, s.data, x.diff)
        elif propagate_down[0]:
            self.copy.forward(dy, x.diff)
        if propagate_down[1] and self.settings.do_backward_scale:
            self.kernel.backward_factors(x.data, dy, s.diff)
        elif propagate_down[1]:
            s.diff.clear()
