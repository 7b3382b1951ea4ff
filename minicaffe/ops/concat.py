"""Concatenation along an axis and its reverse, Slice: what every backend must compute.

Concat: tensors in planning order y, x1, ..., xn. They agree in all axes but `axis`, where y has
the sum of their sizes: y is x1, ..., xn one after another. Slice: tensors x, y1, ..., yn; in
reverse, x is y1, ..., yn one after another.
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
    """Concatenate, and slice the gradient."""

    def forward(self, xs: Sequence[Tensor], y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, dy: Tensor, dxs: Sequence[Tensor | None]) -> None:
        """Overwrite the dxs; None for those that are not needed."""


@dataclass(frozen=True)
class Slice(Op["SliceKernel"]):
    """Describe slicing into parts."""

    axis: int


class SliceKernel(Protocol):
    """Slice, and concatenate the gradients."""

    def forward(self, x: Tensor, ys: Sequence[Tensor]) -> None:
        """Overwrite the ys."""

    def backward(self, dys: Sequence[Tensor], dx: Tensor) -> None:
        """Overwrite dx."""
