"""Cropping: what every backend must compute.

Tensors in planning order: x, y, with as many axes; y[p] = x[p + offset]. The gradient is zero
outside the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Shape, Tensor


@dataclass(frozen=True)
class Crop(Op["CropKernel"]):
    """Describe a block by its offset along each axis."""

    offset: Shape


class CropKernel(Protocol):
    """Crop, and pad the gradient with zeros."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
