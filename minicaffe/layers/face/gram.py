"""Gram."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.face.distance import Gram as GramOp


@register("Gram")
class Gram(Layer):
    """Compute the inner products of all pairs of channels: the Gram matrix of a style.

    Shapes: x (N, C, ...) -> y (N, C, C, 1)

    Notes
    -----
    y[n, i, j] = sum over the pixels of x[n, i] x[n, j], divided by the number of values of a
    sample. The layer is that of caffe-windows (happynear).

    References
    ----------
    Gatys et al., "Image style transfer using convolutional neural networks", 2016.
    """

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        shape = bottom[0].shape
        self.require_shape(
            len(shape) > 1, f'bottom "{bottom[0].name}" must be (N, C, ...), it is {shape}'
        )
        top[0].reshape((shape[0], shape[1], shape[1], 1))
        self.kernel = self.plan(GramOp(), bottom[0].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(bottom[0].data, top[0].diff, bottom[0].diff)
