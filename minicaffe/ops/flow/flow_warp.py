"""Images moved by optical flow: what every backend must compute.

Tensors in planning order: x (N, C, H, W), flow (N, 2, H, W), horizontal and vertical in pixels, y
like x. With X = j + flow[n, 0, i, j] and Y = i + flow[n, 1, i, j]::

    y[n, c, i, j] = bilinear value of x[n, c] at row Y, column X

if 0 <= X < W and 0 <= Y < H; beyond the centres of the last row and column their values count.
Elsewhere y is `fill`, and the gradients are 0. Flow that is not finite lies outside. The gradient
of the flow is that of the bilinear function to the right of kinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class FlowWarp(Op["FlowWarpKernel"]):
    """Describe a warp; `fill` is the value of pixels from outside the image, 0 or NaN."""

    fill: float = 0.0


class FlowWarpKernel(Protocol):
    """Forward, and the gradients of both inputs."""

    def forward(self, x: Tensor, flow: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(
        self, x: Tensor, flow: Tensor, dy: Tensor, dx: Tensor | None, dflow: Tensor | None
    ) -> None:
        """Overwrite dx and dflow; None for what is not needed."""
