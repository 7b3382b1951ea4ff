"""Local response normalisation: what every backend must compute.

Tensors in planning order: x, y of one shape (N, C, H, W).
The neighbours of a value are the n = local_size channels around it at the same position ("across"),
or the n x n window around it in its own channel ("within"); those outside count as zero::

    scale = k + alpha / m * sum of x^2 over the neighbours        m = n across, n * n within
    y  = x * scale^-beta
    dx = dy * scale^-beta - 2 alpha beta / m * x * sum of (dy * y / scale) over the neighbours

(Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012, sec.
3.3, has alpha without the division). n is odd. backward may not read y: a later layer may have
changed it in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Lrn(Op["LrnKernel"]):
    """Describe a local response normalisation."""

    region: Literal["across", "within"]
    local_size: int
    alpha: float
    beta: float
    k: float


class LrnKernel(Protocol):
    """Forward and backward; forward may save `scale`."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be dy itself."""
