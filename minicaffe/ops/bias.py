"""Bias: sum with a term broadcast over x: what must be computed.

The shape of b is that of consecutive axes of x, the first of which is `axis`; b is broadcast along
the other axes. A b of shape () is one number for all. y may be x. Tensors in planning order:
x, b, y::

    y = x + b              dx = dy              db = sum of dy
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Bias(Op["BiasKernel"]):
    """Describe a broadcast sum."""

    axis: int


class BiasKernel(Protocol):
    """Forward and gradient of the bias; that of the data is a copy (see `minicaffe.ops.layout`)."""

    def forward(self, x: Tensor, b: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""

    def backward_weights(self, dy: Tensor, db: Tensor) -> None:
        """Add to db."""
