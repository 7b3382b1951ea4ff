"""Repetition as an axis of its own."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Shape, Tensor
from minicaffe.ops.tile import Tile


@kernel(Tile)
class ReferenceTile(ReferenceKernel[Tile]):
    """Repeat, and add up the gradients."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values = x.read()
        self._apart(y.write(), values.shape)[...] = self.xp.expand_dims(values, self.op.axis)

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        out = dx.write()
        self._apart(dy.read(), out.shape).sum(self.op.axis, out=out)

    def _apart(self, y: Array, shape: Shape) -> Array:
        """Return y with the copies along an axis before the one that they repeat."""
        return y.reshape(*shape[: self.op.axis], self.op.tiles, *shape[self.op.axis :])
