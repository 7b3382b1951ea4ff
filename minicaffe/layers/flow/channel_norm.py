"""ChannelNorm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from minicaffe.layers.base import Blobs, Layer, TopReads
from minicaffe.layers.registry import register
from minicaffe.ops.flow.channel_norm import ChannelNorm as ChannelNormOp


@register("ChannelNorm")
class ChannelNorm(Layer):
    """Compute the length of the vector of channels of each pixel.

    Shapes: x (N, C, ...) -> y (N, 1, ...)

    Notes
    -----
    y = sqrt(sum over the channels of x^2); the gradient where y is 0 is 0. The layer is that of
    FlowNet2.
    """

    reads_tops: ClassVar[TopReads] = "values"

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        shape = bottom[0].shape
        self.require_shape(
            len(shape) > 1, f'bottom "{bottom[0].name}" must be (N, C, ...), it is {shape}'
        )
        top[0].reshape((shape[0], 1, *shape[2:]))
        self.kernel = self.plan(ChannelNormOp(), bottom[0].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(bottom[0].data, top[0].data, top[0].diff, bottom[0].diff)
