"""Randomized leaky ReLU while training: what every backend must compute.

Tensors in planning order: x, y of one shape; y may be x. Each value has an a of its own, uniform
from `low` to `high`::

    y = x if x > 0 else x / a          dx = dy if x > 0 else dy / a

The numbers are a function of the stream's (seed, name, step) only, so that a resumed run repeats
them; each forward pass advances the stream by one step. backward uses the factors that forward
saved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor
from minicaffe.random import RandomStream


@dataclass(frozen=True)
class RandomRelu(Op["RandomReluKernel"]):
    """Describe a ReLU whose negative values are divided by random numbers."""

    low: float
    high: float


class RandomReluKernel(Protocol):
    """Forward draws the factors, backward applies the same ones."""

    def forward(self, x: Tensor, y: Tensor, stream: RandomStream) -> None:
        """Overwrite y, which may be x itself."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be dy itself."""
