"""Dropout: what every backend must compute.

Tensors in planning order: x, y of one shape; y may be x. The mask is 1 with probability
1 - ratio, else 0; a scale of 1 / (1 - ratio) keeps the expectation unchanged (inverted dropout)::

    y = x * mask * scale                dx = dy * mask * scale

The mask is a function of the stream's (seed, name, step) only, so that a resumed run repeats it;
each forward pass advances the stream by one step. The masks of backends may differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor
from minicaffe.random import RandomStream


@dataclass(frozen=True)
class Dropout(Op["DropoutKernel"]):
    """Describe a product with random zeros."""

    ratio: float
    scale: float


class DropoutKernel(Protocol):
    """Forward draws the mask, backward applies the same mask."""

    def forward(self, x: Tensor, y: Tensor, stream: RandomStream) -> None:
        """Overwrite y, which may be x itself."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be dy itself."""
