"""Distances to learned vectors, and inner products of channels."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.face._samples import samples
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.face.distance import Gram, InnerDistance


@kernel(InnerDistance)
class ReferenceInnerDistance(ReferenceKernel[InnerDistance]):
    """L2 by matrix products; L1 by the differences of all pairs, (N, F, K)."""

    def forward(self, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""
        rows, filters, out = self._rows(x), self._filters(w.read()), y.write()
        if self.op.norm == "L2":
            squares = (rows * rows).sum(1)[:, None] + (filters * filters).sum(1)
            found = squares - 2 * (rows @ filters.T)
        else:
            found = self.xp.abs(rows[:, None] - filters).sum(2)
        if b is not None:
            found = found + b.read()
        out[...] = found.reshape(out.shape)

    def backward_data(self, x: Tensor, w: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        rows, filters, given = self._rows(x), self._filters(w.read()), self._given(dy)
        if self.op.norm == "L2":
            gradient = 2 * (rows * given.sum(1)[:, None] - given @ filters)
        else:
            gradient = (given[..., None] * self.xp.sign(rows[:, None] - filters)).sum(1)
        out = dx.write()
        out[...] = gradient.reshape(out.shape)

    def backward_weights(
        self, x: Tensor, w: Tensor, dy: Tensor, dw: Tensor | None, db: Tensor | None
    ) -> None:
        """Add to dw and db."""
        rows, filters, given = self._rows(x), self._filters(w.read()), self._given(dy)
        if dw is not None:
            total = self._filters(dw.update())
            if self.op.norm == "L2":
                total += 2 * (filters * given.sum(0)[:, None] - given.T @ rows)
            else:
                total += (given[..., None] * self.xp.sign(filters - rows[:, None])).sum(0)
        if db is not None:
            db.update()[...] += given.sum(0)

    def _rows(self, x: Tensor) -> Array:
        return samples(x.read(), self.op.axis)

    def _given(self, dy: Tensor) -> Array:
        return samples(dy.read(), self.op.axis)

    def _filters(self, w: Array) -> Array:
        return w.T if self.op.transpose else w


@kernel(Gram)
class ReferenceGram(ReferenceKernel[Gram]):
    """One matrix product a sample."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        channels, out = self._channels(x), y.write()
        product = channels @ channels.swapaxes(1, 2)
        out[...] = (product / max(math.prod(channels.shape[1:]), 1)).reshape(out.shape)

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        channels, out = self._channels(x), dx.write()
        given = dy.read().reshape(dy.shape[:3])
        both = given + given.swapaxes(1, 2)
        out[...] = (both @ channels / max(math.prod(channels.shape[1:]), 1)).reshape(out.shape)

    def _channels(self, x: Tensor) -> Array:
        values = x.read()
        return values.reshape(*values.shape[:2], math.prod(values.shape[2:]))
