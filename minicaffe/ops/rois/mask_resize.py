"""Linear interpolation from the first pixel on: what every backend must compute.

MaskResize: tensors in planning order x (N, C, H, W), y (N, C, h, w); y[i, j] is x at row
min(i H / h, H - 1) and column min(j W / w, W - 1), interpolated linearly. A value of dy that is not
finite may make its whole image of dx not finite, one of x its image of y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class MaskResize(Op["MaskResizeKernel"]):
    """Describe a resize of masks."""


class MaskResizeKernel(Protocol):
    """Resize, and distribute the gradient."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
