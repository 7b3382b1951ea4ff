"""Larger images by repetition or by stored positions: what every backend must compute.

RepeatPixels: tensors x (N, C, H, W), y (N, C, H a, W b), where (a, b) are the `factors`::

    y[n, c, i, j] = x[n, c, i // a, j // b]        dx = sum of dy over each block of a x b pixels

Unpool: tensors x, mask (N, C, H, W), y (N, C, H', W'). mask holds whole numbers, positions in the
plane of H' W' pixels of y, as the second top of max pooling does::

    y[n, c, mask[n, c, i, j]] = x[n, c, i, j], 0 elsewhere        dx = dy[n, c, mask[n, c, i, j]]

Of several equal positions the last value, in C order, remains; each gets the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Shape, Tensor


@dataclass(frozen=True)
class RepeatPixels(Op["RepeatPixelsKernel"]):
    """Describe an enlargement of images by whole factors, of rows and columns."""

    factors: Shape


class RepeatPixelsKernel(Protocol):
    """Repeat pixels, and sum their gradients."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""


@dataclass(frozen=True)
class Unpool(Op["UnpoolKernel"]):
    """Describe the inverse of max pooling."""


class UnpoolKernel(Protocol):
    """Scatter values, and gather their gradients."""

    def forward(self, x: Tensor, mask: Tensor, y: Tensor) -> None:
        """Overwrite y.

        Raises
        ------
        LabelError
            If a position is not a whole number in 0 .. H' W' - 1.
        """

    def backward(self, mask: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
