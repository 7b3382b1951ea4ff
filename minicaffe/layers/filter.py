"""Filter."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.rows import FilterRows


@register("Filter")
class Filter(Layer):
    """Select the samples of a batch whose selector is not 0.

    Shapes: x (N, ...)[, z (N, ...) and so on], selector (N,) -> y (M, ...)[, (M, ...) and so on]

    Notes
    -----
    The last bottom is the selector; sample i of all others is copied if selector[i] is not 0. M is
    known only when the net runs, and may be 0. Samples that are not selected have gradient 0.

    Differs from Caffe: a batch without selected samples has the gradient 0; there the backward pass
    divided by zero.
    """

    bottoms = (2, None)
    tops = (1, None)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there is a top for each bottom but the selector."""
        self.require(
            len(top) == len(bottom) - 1,
            f"{len(bottom)} bottoms need {len(bottom) - 1} tops, one for each but the last, the "
            f"selector; there are {len(top)}",
        )
        self.without_gradient = (len(bottom) - 1,)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the tops the shapes of full batches and plan."""
        *blobs, selector = bottom
        self.require_shape(
            selector.shape and selector.count == selector.shape[0],
            f'bottom "{selector.name}" {selector.shape}, the selector, must have one value a '
            "sample",
        )
        for x, y in zip(blobs, top, strict=True):
            self.require_shape(
                x.shape[:1] == selector.shape[:1],
                f'bottom "{x.name}" {x.shape} must have as many samples as the selector, bottom '
                f'"{selector.name}": {selector.shape[0]}',
            )
            y.reshape(x.shape)
        self.kernel = self.plan(FilterRows(), selector.data, *(x.data for x in blobs))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Count the selected samples, reshape the tops and overwrite them."""
        *blobs, selector = bottom
        n = self.kernel.choose(selector.data)
        for x, y in zip(blobs, top, strict=True):
            y.reshape((n, *x.shape[1:]))
        self.kernel.forward([x.data for x in blobs], [y.data for y in top])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        self.require_no_gradient(propagate_down)
        wanted = zip(bottom[:-1], propagate_down[:-1], strict=True)
        self.kernel.backward(
            [y.diff for y in top], [x.diff if needed else None for x, needed in wanted]
        )
