"""Sum of absolute differences, or of lengths of difference vectors."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.activation import sign
from minicaffe.backends.reference.kernels.loss import write_both
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.flow.l1_loss import L1Loss


@kernel(L1Loss)
class ReferenceL1Loss(ReferenceKernel[L1Loss]):
    """Distances of all entries, or of the vectors of channels."""

    def forward(self, a: Tensor, b: Tensor | None, loss: Tensor) -> None:
        """Overwrite loss."""
        apart, divisor = self._apart(a, b)
        if self.op.per_pixel:
            distances = self.xp.sqrt(self._squares(apart) + self.op.epsilon)
        else:
            distances = self.xp.abs(apart)
        loss.write()[...] = distances.sum() / divisor

    def backward(
        self, a: Tensor, b: Tensor | None, dloss: Tensor, da: Tensor | None, db: Tensor | None
    ) -> None:
        """Overwrite da and db."""
        apart, divisor = self._apart(a, b)
        if self.op.per_pixel:
            squares = self._squares(apart)
            lengths = self.xp.sqrt(squares + self.op.epsilon)
            share = self.xp.where(squares == 0, 0, self._share(apart))
            slope = share * apart / self.xp.where(lengths == 0, 1, lengths)
        else:
            slope = sign(self.xp, apart)
        write_both(slope * (dloss.read() / divisor), da, db)

    def _apart(self, a: Tensor, b: Tensor | None) -> tuple[Array, Array]:
        """Return the differences, 0 where they do not count, and the divisor."""
        xp, op = self.xp, self.op
        apart = a.read() if b is None else a.read() - b.read().reshape(a.shape)
        counted = len(apart)
        if op.skips_nan:
            is_nan = xp.isnan(apart)
            apart = xp.where(is_nan, 0, apart)
            if op.divides_by_entries:
                counted = (~is_nan).sum() / max(apart.shape[1], 1)
        if op.plateau and not op.per_pixel:
            apart = xp.where(xp.abs(apart) <= op.plateau, 0, apart)
        return apart, xp.maximum(counted, 1)

    def _squares(self, apart: Array) -> Array:
        squares = self._share(apart) * (apart * apart).sum(1, keepdims=True)
        return self.xp.where(squares <= self.op.plateau**2, 0, squares)

    def _share(self, apart: Array) -> float:
        return 1 / max(apart.shape[1], 1) if self.op.averages else 1.0
