"""Reshape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape
from minicaffe.schema.minicaffe_pb2 import ReshapeParameter


@register("Reshape")
class Reshape(Layer[ReshapeParameter]):
    """Change the shape of a blob without a copy.

    Shapes: x (...) -> y (...)

    Notes
    -----
    `shape` replaces the num_axes axes from `axis` on (all by default; axis -1 is after the last
    one, so that axes of size 1 can be appended). In it, 0 copies the size of the axis that it
    replaces, and one size may be -1, which is computed from the others.
    """

    reads_bottoms = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape over the bottom's memory."""
        shape = bottom[0].shape
        first, end = self._replaced(len(shape))
        sizes = self._sizes(shape, first, end)
        new = (*shape[:first], *sizes, *shape[end:])
        self.require_shape(
            math.prod(new) == bottom[0].count,
            f'bottom "{bottom[0].name}" {shape} has {bottom[0].count} values, the new shape {new} '
            f"{math.prod(new)}",
        )
        top[0].reshape(new)
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    def _replaced(self, n: int) -> tuple[int, int]:
        """Return the first axis that is replaced and the first after them."""
        axis, n_axes = self.settings.axis, self.settings.num_axes
        self.require_shape(
            -n - 1 <= axis <= n, f"axis: {axis} is not {-n - 1} to {n}, as {n} axes allow"
        )
        first = axis if axis >= 0 else axis + n + 1
        self.require(n_axes >= -1, f"num_axes: {n_axes} must be at least 0, or -1 for all")
        end = n if n_axes == -1 else first + n_axes
        self.require_shape(
            end <= n,
            f"num_axes: {n_axes} from axis {first} on are more than the {n} axes there are",
        )
        return first, end

    def _sizes(self, shape: Shape, first: int, end: int) -> list[int]:
        sizes = [int(size) for size in self.settings.shape.dim]
        self.require(
            sizes.count(-1) <= 1 and min(sizes, default=0) >= -1,
            f"shape {sizes}: sizes are 0 or more, and -1 once at most",
        )
        for i, size in enumerate(sizes):
            if size == 0:
                self.require_shape(
                    first + i < len(shape),
                    f"shape {sizes} keeps axis {first + i} (dim: 0), which shape {shape} lacks",
                )
                sizes[i] = shape[first + i]
        if -1 in sizes:
            sizes[sizes.index(-1)] = self._rest(shape, sizes, math.prod(shape[first:end]))
        return sizes

    def _rest(self, shape: Shape, sizes: list[int], count: int) -> int:
        known = -math.prod(sizes)
        self.require_shape(
            known and count % known == 0,
            f"shape {sizes}: {count} values of {shape} cannot be divided by {known} for dim: -1",
        )
        return count // known

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Do nothing: the memory is shared."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Do nothing: the memory is shared."""
