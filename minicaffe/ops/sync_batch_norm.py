"""Batch normalisation over the batches of several processes: what every backend must compute.

Each process plans and calls it with its own rows. Tensors in planning order: x (N, C, ...), s (C,),
b (C,), mu (C,), var (C,), y like x; y may be x. Only N may differ between processes. With sums and
means over all values of a channel in all processes::

    m       = number of values                          mu  = mean of x
    n       = (x - mu) / sqrt(var + eps)                var = mean of (x - mu)^2
    y       = s n + b
    dx      = s (dy - mean of dy - n * mean of (dy n)) / sqrt(var + eps)

and with sums over the values of this process, as for other parameters::

    ds      = sum of dy n                               db  = sum of dy

dx is the gradient of the sum of the processes' losses. forward calls `SumOverRanks` twice, with
means and then with centred squares, because a difference of large sums would lose digits; backward
calls it once, if dx is needed. Every process does so, also one without rows.

backward reads x, unless it was planned in place, and what forward saved; it may not read y.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from minicaffe.ops.backend import HostArray, Op, Tensor

# Overwrites a float64 array with its sum over all processes, which all call it.
SumOverRanks: TypeAlias = Callable[[HostArray], None]


@dataclass(frozen=True)
class SyncBatchNorm(Op["SyncBatchNormKernel"]):
    """Describe a batch normalisation by the statistics of all processes, scaled and shifted."""

    eps: float


class SyncBatchNormKernel(Protocol):
    """Forward, which returns the statistics as well, and backward."""

    def forward(
        self,
        x: Tensor,
        scaling: tuple[Tensor, Tensor],
        statistics: tuple[Tensor, Tensor],
        y: Tensor,
        add_up: SumOverRanks,
    ) -> int:
        """Overwrite the statistics mu and var, and y; return m.

        If m is 0, only mu is overwritten.
        """

    def backward(
        self,
        dy: Tensor,
        s: Tensor,
        dx: Tensor | None,
        ds: Tensor | None,
        db: Tensor | None,
        add_up: SumOverRanks,
    ) -> None:
        """Overwrite dx, which may be dy itself; add to ds and db. None if it is not needed."""
