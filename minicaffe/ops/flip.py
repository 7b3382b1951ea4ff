"""Reversal of axes: what every backend must compute.

Tensors x, y of one shape. y holds the values of x in reverse order along each of `axes`; so does dx
those of dy. Not in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Shape, Tensor


@dataclass(frozen=True)
class Flip(Op["FlipKernel"]):
    """Describe a reversal of some axes."""

    axes: Shape


class FlipKernel(Protocol):
    """Reverse axes; the gradient is reversed by the same method."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
