"""BatchReindex."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.rows import TakeRows


@register("BatchReindex")
class BatchReindex(Layer):
    """Gather samples of a batch by index: reorder, repeat or drop them.

    Shapes: x (N, ...), numbers (M,) -> y (M, ...)

    Notes
    -----
    y[i] = x[numbers[i]]; the gradient of a sample is the sum over all its occurrences.
    """

    bottoms = 2
    without_gradient = (1,)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        x, numbers = bottom
        self.require_shape(x.shape, f'bottom "{x.name}" must have an axis of samples')
        self.require_shape(
            len(numbers.shape) == 1,
            f'bottom "{numbers.name}" must be (M,), it is {numbers.shape}',
        )
        top[0].reshape((*numbers.shape, *x.shape[1:]))
        self.kernel = self.plan(TakeRows(), x.data, numbers.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            self.kernel.backward(bottom[1].data, top[0].diff, bottom[0].diff)
