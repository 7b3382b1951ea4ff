"""Factors and terms that are lined up with some axes of x: what every backend must compute.

The shapes of s and b are those of consecutive axes of x, the first of which is `axis`; both are
repeated along the other axes. An s or b of shape () is one number for all. y may be x.

Scale: tensors in planning order x, s, y and, with bias, b like s::

    y = x * s + b          dx = dy * s          ds = sum of dy * x          db = sum of dy

where the sums go over the axes of x that s does not have. A kernel that is planned in place keeps a
copy of x.

Bias: tensors in planning order x, b, y::

    y = x + b              dx = dy              db = sum of dy
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Scale(Op["ScaleKernel"]):
    """Describe a product, and with `bias` a sum, repeated along some axes."""

    axis: int
    bias: bool = False


class ScaleKernel(Protocol):
    """Forward, gradient of factor and bias, gradient of the data."""

    def forward(self, x: Tensor, s: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""

    def backward_weights(self, x: Tensor, dy: Tensor, ds: Tensor | None, db: Tensor | None) -> None:
        """Add to ds and db; either may be None where it is not wanted."""

    def backward_data(self, dy: Tensor, s: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be dy itself."""


@dataclass(frozen=True)
class Bias(Op["BiasKernel"]):
    """Describe a sum, repeated along some axes."""

    axis: int


class BiasKernel(Protocol):
    """Forward and gradient of the bias; that of the data is a copy (see `minicaffe.ops.layout`)."""

    def forward(self, x: Tensor, b: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""

    def backward_weights(self, dy: Tensor, db: Tensor) -> None:
        """Add to db."""
