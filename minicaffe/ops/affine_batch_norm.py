"""Batch normalisation with a scale and a shift: what every backend must compute.

Tensors in planning order: x (N, C, ...), s (C,), b (C,), mu (C,), var (C,), y like x; y may be x.
With the means over all values of a channel::

    mu, var = mean and variance of x (divided by the number of values)
    n       = (x - mu) / sqrt(var + eps)                y = s n + b
    dx      = s (dy - mean of dy - n * mean of (dy n)) / sqrt(var + eps)
    ds      = sum of dy n                               db = sum of dy

backward reads x, unless it was planned in place, and what forward saved; it may not read y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class AffineBatchNorm(Op["AffineBatchNormKernel"]):
    """Describe a batch normalisation by the batch's statistics, scaled and shifted."""

    eps: float


class AffineBatchNormKernel(Protocol):
    """Forward, which returns the statistics as well, and backward."""

    def forward(self, x: Tensor, s: Tensor, b: Tensor, mu: Tensor, var: Tensor, y: Tensor) -> None:
        """Overwrite mu, var and y, which may be x itself."""

    def backward(
        self, dy: Tensor, s: Tensor, dx: Tensor | None, ds: Tensor | None, db: Tensor | None
    ) -> None:
        """Overwrite dx, which may be dy itself; add to ds and db. None if it is not needed."""
