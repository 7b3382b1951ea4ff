"""Length of the channels of each pixel: what every backend must compute.

Tensors in planning order: x (N, C, ...), y (N, 1, ...)::

    y = sqrt(sum over the channels of x^2)      dx = dy x / y, 0 where y is 0

backward reads x and y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class ChannelNorm(Op["ChannelNormKernel"]):
    """Describe the lengths of the vectors of channels."""


class ChannelNormKernel(Protocol):
    """Forward, and the gradient."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
