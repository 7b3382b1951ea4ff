"""Repetition along an axis: what every backend must compute.

Tensors in planning order: x, y; y is `tiles` copies of x one after another along `axis`. The
gradient is the sum of the copies'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Tile(Op["TileKernel"]):
    """Describe a repetition."""

    axis: int
    tiles: int


class TileKernel(Protocol):
    """Repeat, and sum the gradients."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
