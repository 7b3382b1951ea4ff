"""Moving averages of a batch normalisation, and its affine form."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.running_statistics import RunningStatistics


@kernel(RunningStatistics)
class ReferenceRunningStatistics(ReferenceKernel[RunningStatistics]):
    """Update statistics; convert them to a linear function."""

    def update(self, mu: Tensor, var: Tensor, stored: Sequence[Tensor]) -> None:
        """Change the stored statistics, unless the batch has no values."""
        xp, op = self.xp, self.op
        if not op.m:
            return
        keep, add, variance = op.fraction, 1 - op.fraction, var.read()
        if op.form == "inverse_deviation":
            variance = 1 / xp.sqrt(variance + op.eps)
        elif op.form == "started":
            weight = stored[2].update()
            keep = xp.where(weight == 0, 0, keep)
            add = 1 - keep
            weight[...] = 1
            variance = variance + op.eps
        elif op.form == "sums":
            weight = stored[2].update()
            weight[...] = keep * weight + 1
            add, variance = 1, variance * (op.m / max(op.m - 1, 1))
        for tensor, value in zip(stored[:2], (mu.read(), variance), strict=True):
            values = tensor.update()
            values[...] = keep * values + add * value

    def fold(
        self, stored: Sequence[Tensor], s: Tensor, b: Tensor, factor: Tensor, shift: Tensor
    ) -> None:
        """Overwrite factor and shift."""
        center, inverse = self._statistics(stored)
        factors = s.read() * inverse
        factor.write()[...] = factors
        shift.write()[...] = b.read() - center * factors

    def unfold(
        self,
        stored: Sequence[Tensor],
        dfactor: Tensor,
        dshift: Tensor,
        ds: Tensor | None,
        db: Tensor | None,
    ) -> None:
        """Add to ds and db."""
        center, inverse = self._statistics(stored)
        given = dshift.read()
        if ds is not None:
            total = ds.update()
            total += (dfactor.read() - center * given) * inverse
        if db is not None:
            total = db.update()
            total += given

    def _statistics(self, stored: Sequence[Tensor]) -> tuple[Array, Array]:
        """Return the mean and the inverse standard deviation of each channel."""
        mean, spread = stored[0].read(), stored[1].read()
        if self.op.form == "inverse_deviation":
            return mean, spread
        if self.op.form == "sums":
            weight = stored[2].read()
            share = self.xp.where(weight == 0, 0, 1 / self.xp.where(weight == 0, 1, weight))
            mean, spread = mean * share, spread * share
        return mean, 1 / self.xp.sqrt(spread + self.op.eps)
