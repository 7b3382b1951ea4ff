"""Gather and filter rows (items along the first axis): what every backend must compute.

TakeRows: tensors in planning order x (R, ...), rows (M,), indices stored as floats, y (M, ...)::

    y[i] = x[rows[i]]          dx[r] = sum of dy[i] over all i with rows[i] = r

FilterRows: tensors selector (R, ...) with one value per row, x1, ..., xn with R rows each. Row i of
every x is kept, in order, where selector[i] is not 0; the gradient of the others is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class TakeRows(Op["TakeRowsKernel"]):
    """Describe gathering rows by index."""


class TakeRowsKernel(Protocol):
    """Gather rows, and scatter-add their gradients."""

    def forward(self, x: Tensor, rows: Tensor, y: Tensor) -> None:
        """Overwrite y.

        Raises
        ------
        LabelError
            If a row number is not a whole number in 0 .. R - 1.
        """

    def backward(self, rows: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""


@dataclass(frozen=True)
class FilterRows(Op["FilterRowsKernel"]):
    """Describe filtering rows by the values of a selector."""


class FilterRowsKernel(Protocol):
    """Select, then copy rows; before the first selection all rows are selected."""

    def choose(self, selector: Tensor) -> int:
        """Select rows and return their number; waits for the device: shapes depend on it."""

    def forward(self, xs: Sequence[Tensor], ys: Sequence[Tensor]) -> None:
        """Overwrite the ys, which have as many rows as are selected."""

    def backward(self, dys: Sequence[Tensor], dxs: Sequence[Tensor | None]) -> None:
        """Overwrite the dxs; None for those that are not needed."""
