"""im2col, which copies each window into channels: what every backend must compute.

Tensors in planning order: x (N..., C, *S), y (N..., C * taps, *S'), where `kernel` has as many
entries as S, taps is its product, and S' is a convolution's (see `minicaffe.ops.conv`)::

    y[n, c * taps + k, p] = x[n, c, p * stride - pad + k * dilation]

where k counts the positions in the window in row-major order; values outside the image are zero,
also those that complete a window larger than the padded image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Shape, Tensor


@dataclass(frozen=True)
class Im2col(Op["Im2colKernel"]):
    """Describe the window; each tuple has one entry per spatial axis (rows, columns, ...)."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape


class Im2colKernel(Protocol):
    """Copy the windows, and accumulate their gradients (col2im)."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
