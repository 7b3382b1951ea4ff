"""Embedding look-up: what every backend must compute.

Tensors in planning order: rows (...), indices stored as floats, w (R, N), y (..., N) and, with
bias, b (N,)::

    y[i, n] = w[rows[i], n] + b[n]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Embed(Op["EmbedKernel"]):
    """Describe a look-up."""

    bias: bool = True


class EmbedKernel(Protocol):
    """Forward, and the gradient of the table; indices have none."""

    def forward(self, rows: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y.

        Raises
        ------
        LabelError
            If a row number is not a whole number in 0 .. R - 1.
        """

    def backward_weights(
        self, rows: Tensor, dy: Tensor, dw: Tensor | None, db: Tensor | None
    ) -> None:
        """Add to dw and db; either may be None if it is not needed."""
