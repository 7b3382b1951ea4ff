"""Batch normalisation: what every backend must compute.

Tensors in planning order: x (N, C, ...) or (N,) with C = 1, mean (C,), variance (C,), weight (1,),
y like x; y may be x. With m = the number of values of a channel and f = `fraction`, while the
statistics come from the batch::

    mu, var = mean and variance (divided by m) of each channel of x
    y        = (x - mu) / sqrt(var + eps)
    weight   = f * weight + 1
    mean     = f * mean + mu
    variance = f * variance + var * m / (m - 1)            (m / (m - 1) is 1 if m is 1)
    dx       = (dy - mean of dy - y * mean of (dy * y)) / sqrt(var + eps)

mean and variance are sums with geometric weights, `weight` is the sum of those weights. With
`use_stored` nothing is updated::

    mu, var = mean / weight, variance / weight             (both 0 if weight is 0)
    dx      = dy / sqrt(var + eps)

backward may not read y: a later layer (Scale) may have changed it in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class BatchNorm(Op["BatchNormKernel"]):
    """Describe a batch normalisation."""

    use_stored: bool
    fraction: float
    eps: float


class BatchNormKernel(Protocol):
    """Forward, which updates the statistics, and backward from saved values."""

    def forward(self, x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself; update mean, variance and weight."""

    def recompute_forward(self, y: Tensor) -> None:
        """Overwrite y again, from the values that forward saved."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be dy itself."""
