"""Slice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.concat import part_axis
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape
from minicaffe.ops.concat import Slice as SliceOp
from minicaffe.schema.minicaffe_pb2 import SliceParameter


@register("Slice")
class Slice(Layer[SliceParameter]):
    """Slice a blob into several along an axis.

    Shapes: x (N, C1 + C2 + ..., ...) -> y (N, C1, ...)[, z (N, C2, ...) and so on]

    Notes
    -----
    The axis is `axis`, 1 by default, or the older `slice_dim`, which cannot be negative. Without
    slice_point the parts are of one size; with it, each is the index at which the next part begins.
    The gradients are concatenated.
    """

    tops = (1, None)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Divide the axis and plan."""
        axis = part_axis(self, bottom[0], "slice_dim")
        shape = bottom[0].shape
        for blob, size in zip(top, self._sizes(shape, axis, len(top)), strict=True):
            blob.reshape((*shape[:axis], size, *shape[axis + 1 :]))
        self.kernel = self.plan(SliceOp(axis), bottom[0].data, *(blob.data for blob in top))

    def _sizes(self, shape: Shape, axis: int, n: int) -> list[int]:
        size, points = shape[axis], list(self.settings.slice_point)
        if not points:
            self.require_shape(
                size % n == 0,
                f"{n} tops cannot share the {size} values of axis {axis} equally; give "
                f"{n - 1} slice_points",
            )
            return [size // n] * n
        self.require(
            len(points) == n - 1, f"{len(points)} slice_points for {n} tops; give {n - 1}, or none"
        )
        edges = [0, *points, size]
        sizes = [end - start for start, end in itertools.pairwise(edges)]
        self.require_shape(
            min(sizes) > 0,
            f"slice_points {points} must rise and lie inside axis {axis} of shape {shape}, from 1 "
            f"to {size - 1}",
        )
        return sizes

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        self.kernel.forward(bottom[0].data, [blob.data for blob in top])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward([blob.diff for blob in top], bottom[0].diff)
