"""Adaptive piecewise linear units: what every backend must compute.

Tensors in planning order: x (N, ...) with K values in a sample, a and b of K S values in any shape,
y like x; y may be x. Each place k of a sample has S hinges of its own::

    y[n, k]  = max(x[n, k], 0) + sum over s of a[k, s] max(b[k, s] - x[n, k], 0)
    dx[n, k] = dy[n, k] ((x > 0) - sum over s of a[k, s] (b[k, s] > x))
    da[k, s] = sum over n of dy max(b[k, s] - x, 0)
    db[k, s] = sum over n of dy a[k, s] (b[k, s] > x)

A kernel that is planned in place saves a copy of x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class PiecewiseLinear(Op["PiecewiseLinearKernel"]):
    """Describe a ReLU with `hinges` more hinges for each place."""

    hinges: int


class PiecewiseLinearKernel(Protocol):
    """Forward, and the gradients of slopes, offsets and data."""

    def forward(self, x: Tensor, a: Tensor, b: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""

    def backward_weights(
        self, x: Tensor, a: Tensor, b: Tensor, dy: Tensor, da: Tensor | None, db: Tensor | None
    ) -> None:
        """Add to da and db; either may be None if it is not needed."""

    def backward_data(self, x: Tensor, a: Tensor, b: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be dy itself."""
