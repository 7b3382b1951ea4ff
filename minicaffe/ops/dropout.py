"""Dropout: what every backend must compute.

Tensors in planning order: x, y of one shape; y may be x. Each element is kept with probability
1 - ratio and then divided by it, so that the expectation is unchanged (inverted dropout)::

    y = x * kept / (1 - ratio)          dx = dy * kept / (1 - ratio)

Which are kept is a function of the stream's (seed, name, step) alone, so that a resumed run repeats
it; each forward pass advances the stream by one step. Backends need not agree on the pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor
from minicaffe.random import RandomStream


@dataclass(frozen=True)
class Dropout(Op["DropoutKernel"]):
    """Describe dropout while training; in the TEST phase the layer copies."""

    ratio: float


class DropoutKernel(Protocol):
    """Forward draws the mask, backward applies the same one."""

    def forward(self, x: Tensor, y: Tensor, stream: RandomStream) -> None:
        """Overwrite y, which may be x itself."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be dy itself."""
