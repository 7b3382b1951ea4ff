"""Scale: product, and with `bias` sum, with a factor broadcast over x: what must be computed.

The shapes of s and b are those of consecutive axes of x, the first of which is `axis`; both are
broadcast along the other axes. An s or b of shape () is one number for all. y may be x.

Tensors in planning order: x, s, y and, with bias, b like s::

    y = x * s + b          dx = dy * s          ds = sum of dy * x          db = sum of dy

where the sums go over the axes of x that s does not have. A kernel that is planned in place saves
a copy of x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Scale(Op["ScaleKernel"]):
    """Describe a broadcast product and, with `bias`, sum."""

    axis: int
    bias: bool = False


class ScaleKernel(Protocol):
    """Forward, gradient of factor and bias, gradient of the data."""

    def forward(self, x: Tensor, s: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""

    def backward_weights(self, x: Tensor, dy: Tensor, ds: Tensor | None, db: Tensor | None) -> None:
        """Add to ds and db; either may be None if it is not needed."""

    def backward_data(self, dy: Tensor, s: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be dy itself."""
