"""Pooling over windows of any number of axes: what every backend must compute.

Tensors in planning order: x (N, C, *S), y (N, C, *S'), optionally mask like y. S are the spatial
axes, (rows, columns) of images, (frames, rows, columns) of videos. Window i of an axis starts at
i * stride - pad and is cut to the image; the layer rejects empty windows.

max         the first largest element in row-major order; mask is its index in S. NaN is larger than
            all numbers; of several the last counts
ave         sum / area, where area is that of the window cut to the *padded* image [-pad, S + pad)
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
    """Describe pooling; tuples have a number for each spatial axis, `out` is the size of y's."""

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
