"""Edge-preserving smoothing by a recursive filter: what every backend must compute.

Tensors in planning order: x (N, C, H, W), edges (N, 1, H, W), sizes (N, ...) with two values a
sample, the rows and columns that are smoothed, y like x. Round i = 1 ... K, K = `n_rounds`, has

    sigma = spatial_sigma sqrt(3) 2^(K - i) / sqrt(4^K - 1)
    w = max(exp(-sqrt(2) / sigma (1 + edges spatial_sigma / range_sigma)), min_weight)

and smooths in place along rows, then columns, first forwards, then backwards::

    a[j] = (1 - w[j]) a[j] + w[j] a[j - 1]              for j = 1, 2, ...
    a[j] = (1 - w[j + 1]) a[j] + w[j + 1] a[j + 1]      for j = ..., 1, 0

beginning with a = x; y is the result. Pixels outside the sizes keep their values and do not enter.
The gradients of x and edges are the derivatives; a weight at min_weight passes none on to edges.

Gastal and Oliveira, "Domain transform for edge-aware image and video processing", 2011; Chen et
al., "Semantic image segmentation with task-specific edge detection using CNNs and a
discriminatively trained domain transform", 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class DomainTransform(Op["DomainTransformKernel"]):
    """Describe a smoothing that stops at edges."""

    n_rounds: int
    spatial_sigma: float
    range_sigma: float
    min_weight: float = 0.0


class DomainTransformKernel(Protocol):
    """Forward, and the gradients of images and edges."""

    def forward(self, x: Tensor, edges: Tensor, sizes: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, dy: Tensor, dx: Tensor | None, dedges: Tensor | None) -> None:
        """Overwrite dx and dedges; None for what is not needed."""
