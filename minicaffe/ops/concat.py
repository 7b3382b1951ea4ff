"""Joining tensors along an axis and cutting them apart: what every backend must compute.

Concat: tensors in planning order y, x1, ..., xn. They agree in all axes but `axis`, where y has
the sum of their sizes: y is x1, ..., xn behind one another. Slice: tensors x, y1, ..., yn; the same
read backwards, x is y1, ..., yn behind one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Concat(Op["ConcatKernel"]):
    """Describe a concatenation."""

    axis: int


class ConcatKernel(Protocol):
    """Join, and cut the gradient."""

    def forward(self, xs: Sequence[Tensor], y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, dy: Tensor, dxs: Sequence[Tensor | None]) -> None:
        """Overwrite the dxs; None where one is not wanted."""


@dataclass(frozen=True)
class Slice(Op["SliceKernel"]):
    """Describe a cut."""

    axis: int


class SliceKernel(Protocol):
    """Cut, and join the gradients."""

    def forward(self, x: Tensor, ys: Sequence[Tensor]) -> None:
        """Overwrite the ys."""

    def backward(self, dys: Sequence[Tensor], dx: Tensor) -> None:
        """Overwrite dx."""
