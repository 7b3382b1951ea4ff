"""Im2col."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.window import Window
from minicaffe.ops.im2col import Im2col as Im2colOp
from minicaffe.schema.minicaffe_pb2 import ConvolutionParameter


@register("Im2col")
class Im2col(Layer[ConvolutionParameter]):
    """Copy the window at each position of a convolution into channels.

    Shapes: x (N, C, *S) -> y (N, C * taps, *S')

    Notes
    -----
    taps is the number of positions in the window; channel c * taps + k holds tap k, in row-major
    order, of channel c; outside the image it is 0. S' is a convolution's. Any number of spatial
    axes; `axis` names the channel axis, all axes before it are samples.
    """

    role = "convolution"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the window."""
        self.channel_axis = self.axis(self.settings.axis, bottom[0])
        self.n_axes = len(bottom[0].shape) - self.channel_axis - 1
        self.require_shape(
            self.n_axes > 0,
            f'bottom "{bottom[0].name}" {bottom[0].shape} has no axes after axis '
            f"{self.channel_axis}, the channels'",
        )
        self.window = Window.of(self, self.n_axes)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the top's shape and plan."""
        x, axis, w = bottom[0], self.channel_axis, self.window
        self.require_shape(
            len(x.shape) == axis + 1 + self.n_axes,
            f'bottom "{x.name}" now has shape {x.shape}; the window was made for {self.n_axes} '
            "spatial axes",
        )
        positions = w.positions(self, x.name, x.shape[axis + 1 :])
        top[0].reshape((*x.shape[:axis], x.shape[axis] * math.prod(w.kernel), *positions))
        op = Im2colOp(w.kernel, w.stride, w.pad, w.dilation)
        self.kernel = self.plan(op, x.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)
