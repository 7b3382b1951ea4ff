"""Permutation of axes: what every backend must compute.

Tensors x, y with as many values. With x viewed as an array of shape `sizes`, y contains the values
of this array with its axes in `order`, in C order, whatever its own shape is::

    y = transpose(x viewed as `sizes`, order)

The gradient is permuted back. Not in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Shape, Tensor


@dataclass(frozen=True)
class Permute(Op["PermuteKernel"]):
    """Describe a permutation: axis i of the result is axis order[i] of x viewed as `sizes`."""

    sizes: Shape
    order: Shape


class PermuteKernel(Protocol):
    """Permute, and permute the gradient back."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
