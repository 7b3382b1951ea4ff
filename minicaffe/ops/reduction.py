"""Reduction of the trailing axes: what every backend must compute.

Tensors in planning order: x (M..., K...), y (M...), where the axes from `axis` on are K...; n is
the number of values that they hold.

=========  ======================  =========================
operation  y                       dx
=========  ======================  =========================
sum        c * sum of x            c dy
asum       c * sum of |x|          c dy sign(x), 0 at x = 0
sumsq      c * sum of x^2          2 c dy x
mean       c / n * sum of x        c / n * dy
=========  ======================  =========================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor

ReductionOperation: TypeAlias = Literal["sum", "asum", "sumsq", "mean"]


@dataclass(frozen=True)
class Reduction(Op["ReductionKernel"]):
    """Describe a reduction; `coefficient` is c."""

    operation: ReductionOperation
    axis: int
    coefficient: float = 1.0


class ReductionKernel(Protocol):
    """Reduce, and broadcast the gradient."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
