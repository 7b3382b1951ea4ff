"""Axpy."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.axpy import Axpy as AxpyOp
from minicaffe.ops.layout import Copy


@register("Axpy")
class Axpy(Layer):
    """Multiply the channels of a blob by factors of each sample, and add another blob.

    Shapes: a (N, C, ...), x (N, C, ...), z (N, C, ...) -> y (N, C, ...)

    Notes
    -----
    y[n, c] = a[n, c] x[n, c] + z[n, c]; a has one value for each sample and channel, in the shape
    (N, C) or (N, C, 1, 1).

    Differs from the forks of Intel and happynear: the gradient of x does not depend on whether a
    needs one.

    References
    ----------
    Hu et al., "Squeeze-and-excitation networks", 2018 (the layer of its Caffe).
    """

    bottoms = 3

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the shape of x and plan."""
        a, x, z = bottom
        self.require_shape(
            len(x.shape) >= 2, f'bottom "{x.name}" must be (N, C, ...), it is {x.shape}'
        )
        self.require_shape(
            x.shape == z.shape,
            f'bottoms "{x.name}" {x.shape} and "{z.name}" {z.shape} must have one shape',
        )
        self.require_shape(
            a.shape[:2] == x.shape[:2] and set(a.shape[2:]) <= {1},
            f'bottom "{a.name}" of shape {a.shape} must hold one factor for each of the '
            f'{x.shape[:2]} channels of bottom "{x.name}"',
        )
        top[0].reshape(x.shape)
        self.kernel = self.plan(AxpyOp(), a.data, x.data, z.data, top[0].data)
        self.copy = self.plan(Copy(), top[0].data, z.data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        a, x, z = (blob.data for blob in bottom)
        self.kernel.forward(a, x, z, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        (a, x, z), dy = bottom, top[0].diff
        if propagate_down[0]:
            self.kernel.backward_factors(x.data, dy, a.diff)
        if propagate_down[1]:
            self.kernel.backward_data(a.data, dy, x.diff)
        if propagate_down[2]:
            self.copy.forward(dy, z.diff)
