"""Parametric ReLU: what every backend must compute.

Tensors in planning order: x (N, C, ...), a (C,) or () for one slope for all channels, y like x;
y may be x::

    y = x if x > 0, else a[c] * x
    dx = dy if x > 0, else a[c] * dy
    da[c] = sum over the values of channel c that are not positive of dy * x

A kernel that is planned in place saves a copy of x, because slopes may be negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class PReLU(Op["PReLUKernel"]):
    """Describe a ReLU with learned slopes; all its numbers are in the tensors."""


class PReLUKernel(Protocol):
    """Forward, gradient of the data and gradient of the slopes."""

    def forward(self, x: Tensor, a: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""

    def backward_weights(self, x: Tensor, dy: Tensor, da: Tensor) -> None:
        """Add to da."""

    def backward_data(self, x: Tensor, a: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be dy itself."""
