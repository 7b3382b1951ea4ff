"""Layers that reverse axes: Flip and Reverse."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer, P
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape
from minicaffe.ops.flip import Flip as FlipOp
from minicaffe.schema.forks_pb2 import FlipParameter, ReverseParameter


class ReversingLayer(Layer[P]):
    """Base of the layers with a Flip op: a subclass returns the axes."""

    reads_bottoms = False

    def reversed_axes(self, bottom: Blobs) -> Shape:
        """Return the axes to reverse."""
        raise NotImplementedError

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        op = FlipOp(self.reversed_axes(bottom))
        top[0].reshape(bottom[0].shape)
        self.kernel = self.plan(op, bottom[0].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.forward(top[0].diff, bottom[0].diff)


@register("Flip")
class Flip(ReversingLayer[FlipParameter]):
    """Mirror images, by default left to right.

    Shapes: x (N, C, H, W) -> y (N, C, H, W)

    Notes
    -----
    flip_width reverses the columns, flip_height the rows. The layer of happynear's Caffe.
    """

    def reversed_axes(self, bottom: Blobs) -> Shape:
        """Return the axes of rows and columns as the settings say."""
        shape = bottom[0].shape
        self.require_shape(
            len(shape) == 4, f'bottom "{bottom[0].name}" must be (N, C, H, W), it is {shape}'
        )
        chosen = ((2, self.settings.flip_height), (3, self.settings.flip_width))
        return tuple(axis for axis, is_reversed in chosen if is_reversed)


@register("Reverse")
class Reverse(ReversingLayer[ReverseParameter]):
    """Reverse the order of the values along an axis.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y[i] = x[n - 1 - i] along `axis` of n values, by default the first: time in recurrent nets. The
    layer of caffe_ocr.
    """

    def reversed_axes(self, bottom: Blobs) -> Shape:
        """Return the axis."""
        return (self.axis(self.settings.axis, bottom[0]),)
