"""Mean and variance normalisation of single samples: what every backend must compute.

Tensors in planning order: x, y of one shape; y may be x. Statistics are taken over the axes from
`first_axis` on, for each index before it, with variances divided by the number of values::

    y  = (x - mean) / (sqrt(variance) + eps)
    dx = (dy - mean of dy - y * mean of (dy * y)) / (sqrt(variance) + eps)

or, without `divide`, y = x - mean and dx = dy - mean of dy. (dx is exact for eps = 0.) backward may
not read y: a later layer may have changed it in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Mvn(Op["MvnKernel"]):
    """Describe a normalisation of each sample, or each channel of each sample."""

    first_axis: int
    divide: bool
    eps: float


class MvnKernel(Protocol):
    """Forward, and backward from saved values."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be dy itself."""
