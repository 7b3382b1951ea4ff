"""Division of vectors by their norms: what every backend must compute.

Tensors in planning order: x (N, C, ...), y like x, norms. A vector is the channels of one pixel,
and norms are (N, 1, ...); with `across_pixels` it is a whole sample, and norms are (N,)::

    L2: norm = sqrt(sum of x^2 + eps)      L1: norm = sum of abs(x) + eps      y = x / norm

    dx = (dy - y * sum of dy y) / norm + dnorms * y                                      (L2)
    dx = (dy - sign(x) * sum of dy y) / norm + dnorms * sign(x)                          (L1)

where the sums go over the vector, and dnorms is the gradient of the norms, 0 if it is not given.
y may not be x; dx may be dy. backward reads y and norms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor

VectorNorm: TypeAlias = Literal["L1", "L2"]


@dataclass(frozen=True)
class Normalize(Op["NormalizeKernel"]):
    """Describe a normalisation of vectors to length 1."""

    eps: float
    across_pixels: bool = False
    norm: VectorNorm = "L2"


class NormalizeKernel(Protocol):
    """Normalise, and the gradient."""

    def forward(self, x: Tensor, y: Tensor, norms: Tensor) -> None:
        """Overwrite y and norms."""

    def backward(
        self, y: Tensor, norms: Tensor, dy: Tensor, dx: Tensor, dnorms: Tensor | None = None
    ) -> None:
        """Overwrite dx."""
