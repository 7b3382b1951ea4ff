"""Pooling over 2-D windows: what every backend must compute.

Tensors in planning order: x (N, C, H, W), y (N, C, H', W'), optionally mask like y. Window (i, j)
starts at row i * stride - pad and is cut to the image; the layer rejects empty windows.

max         the first largest element in row-major order; mask is its index in the H * W plane. NaN
            is larger than all numbers; of several the last counts
ave         sum / area, where area is that of the window cut to the *padded* image [-pad, H + pad)
stochastic  training: one element, drawn with a probability proportional to its value (values are
            not negative); test: the mean weighted by value, sum of squares / sum, 0 for an all-zero
            window (Zeiler and Fergus, 2013, eq. 4 to 6)

backward overwrites dx. It may not read x or y: a later layer may have changed them in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Shape, Tensor
from minicaffe.random import RandomStream

PoolMode: TypeAlias = Literal["max", "ave", "stochastic"]


@dataclass(frozen=True)
class Pool(Op["PoolKernel"]):
    """Describe pooling; each pair is (rows, columns), `out` the size of y's image."""

    mode: PoolMode
    kernel: Shape
    stride: Shape
    pad: Shape
    out: Shape
    training: bool = True


class PoolKernel(Protocol):
    """Forward, and the gradient distributed over each window."""

    def forward(
        self, x: Tensor, y: Tensor, mask: Tensor | None = None, stream: RandomStream | None = None
    ) -> None:
        """Overwrite y and, where given, mask. Stochastic pooling draws from `stream`."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
