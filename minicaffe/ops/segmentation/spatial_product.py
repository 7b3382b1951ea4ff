"""Product of images with one plane: what every backend must compute.

Tensors in planning order: x (N, C, H, W), s (N, 1, H, W), y like x::

    y[n, c] = x[n, c] s[n]      dx[n, c] = dy[n, c] s[n]      ds[n] = sum over c of dy[n, c] x[n, c]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class SpatialProduct(Op["SpatialProductKernel"]):
    """Describe the product of all channels with one plane."""


class SpatialProductKernel(Protocol):
    """Forward, and the gradients of both inputs."""

    def forward(self, x: Tensor, s: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(
        self, x: Tensor, s: Tensor, dy: Tensor, dx: Tensor | None, ds: Tensor | None
    ) -> None:
        """Overwrite dx and ds; None for what is not needed."""
