"""Indices and values of the largest elements, by sorting if top_k is above 1."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.arg_max import ArgMax
from minicaffe.ops.backend import Array, Tensor


@kernel(ArgMax)
class ReferenceArgMax(ReferenceKernel[ArgMax]):
    """Indices, values, or both."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values, out, op = x.read(), y.write(), self.op
        if op.axis is not None:
            places = self._largest(values, op.axis)
            along = self.xp.take_along_axis(values, places, op.axis) if op.values else places
            out[...] = along.reshape(out.shape)
            return
        rows = values.reshape(len(values), math.prod(values.shape[1:]))
        places = self._largest(rows, 1)
        halves = out.reshape(len(rows), 1 + op.values, op.top_k)
        halves[:, 0] = places
        if op.values:
            halves[:, 1] = self.xp.take_along_axis(rows, places, 1)

    def _largest(self, x: Array, axis: int) -> Array:
        """Return the indices of the largest elements, from the largest down."""
        # The axis is reversed, so that the first of equal elements is the last one of x.
        backwards = self.xp.flip(x, axis)
        if self.op.top_k == 1:
            places = self.xp.expand_dims(backwards.argmax(axis), axis)
        else:
            order = self.xp.argsort(-backwards, axis, kind="stable")
            places = order[(*(slice(None),) * axis, slice(self.op.top_k))]
        return x.shape[axis] - 1 - places
