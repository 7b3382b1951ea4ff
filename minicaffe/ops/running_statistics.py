"""Moving averages of a batch normalisation, and its affine form: what every backend must compute.

All tensors are (C,), apart from weight (1,). In planning order: mean, spread and, for "sums" and
"started", weight. With f = `fraction`, and mu and var of a batch of `m` values a channel (var
divided by m), `update` computes, by `form`::

    variance            mean = f mean + (1 - f) mu, spread = f spread + (1 - f) var
    inverse_deviation   the same of mu and 1 / sqrt(var + eps)
    started             the same of mu and var + eps; but mean = mu, spread = var + eps,
                        weight = 1 while weight is 0
    sums                weight = f weight + 1, mean = f mean + mu,
                        spread = f spread + var m / (m - 1)    (m / (m - 1) is 1 if m is 1)

The statistics that they stand for, `center` and the standard deviation::

    variance, started   mean, sqrt(spread + eps)
    inverse_deviation   mean, 1 / spread
    sums                mean / weight, sqrt(spread / weight + eps)     (0 for x / 0)

`fold` writes normalisation by these, scale s and shift b as one linear function factor x + shift,
and `unfold` computes the gradients of s and b from those of factor and shift::

    factor = s / deviation                              shift = b - center * factor
    ds     = (dfactor - center * dshift) / deviation    db    = dshift
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor

StatisticsForm: TypeAlias = Literal["variance", "inverse_deviation", "started", "sums"]


@dataclass(frozen=True)
class RunningStatistics(Op["RunningStatisticsKernel"]):
    """Describe stored statistics: what they hold, and how a batch enters them."""

    form: StatisticsForm
    fraction: float
    eps: float
    m: int


class RunningStatisticsKernel(Protocol):
    """Update statistics; convert them to a linear function.

    `stored` is mean, spread and, if the form has it, weight.
    """

    def update(self, mu: Tensor, var: Tensor, stored: Sequence[Tensor]) -> None:
        """Change the stored statistics by those of a batch."""

    def fold(
        self, stored: Sequence[Tensor], s: Tensor, b: Tensor, factor: Tensor, shift: Tensor
    ) -> None:
        """Overwrite factor and shift."""

    def unfold(
        self,
        stored: Sequence[Tensor],
        dfactor: Tensor,
        dshift: Tensor,
        ds: Tensor | None,
        db: Tensor | None,
    ) -> None:
        """Add to ds and db; either may be None if it is not needed."""
