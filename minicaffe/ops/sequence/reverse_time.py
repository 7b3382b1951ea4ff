"""Reversal of sequences of different lengths: what every backend must compute.

Tensors in planning order: x (T, N, ...), lengths (N,), whole numbers in 0 .. T as floats, y like
x::

    y[t, n] = x[lengths[n] - 1 - t, n]   for t < lengths[n]
    y[t, n] = x[t, n] if `copies_rest`, else 0, behind

The gradient takes the same way back. Not in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class ReverseTime(Op["ReverseTimeKernel"]):
    """Describe the reversal of the first steps of each sample."""

    copies_rest: bool


class ReverseTimeKernel(Protocol):
    """Reverse, and reverse the gradient."""

    def forward(self, x: Tensor, lengths: Tensor, y: Tensor) -> None:
        """Overwrite y.

        Raises
        ------
        LabelError
            If a length is not a whole number in 0 .. T.
        """

    def backward(self, lengths: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
