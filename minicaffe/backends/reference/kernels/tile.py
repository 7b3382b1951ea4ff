"""Repetition along an axis, viewed as an axis of its own."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Shape, Tensor
from minicaffe.ops.tile import Tile


@kernel(Tile)
class ReferenceTile(ReferenceKernel[Tile]):
    """Repeat, and sum the gradients."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values = x.read()
        self._copies(y.write(), values.shape)[...] = self.xp.expand_dims(values, self.op.axis)

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        out = dx.write()
        self._copies(dy.read(), out.shape).sum(self.op.axis, out=out)

    def _copies(self, y: Array, shape: Shape) -> Array:
        """Return a view of y with an axis of copies before the repeated axis."""
        return y.reshape(*shape[: self.op.axis], self.op.tiles, *shape[self.op.axis :])
