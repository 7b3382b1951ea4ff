"""Inner product (fully connected layer): what every backend must compute.

Tensors in planning order: x, w, y and, with bias, b. The axes of x from `axis` on are one vector of
K values, the axes before it M samples: x (M..., K...), y (M..., N), b (N,), w (N, K), or (K, N)
with ``transpose``::

    y[m, n] = b[n] + sum over k of x[m, k] * w[n, k]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class InnerProduct(Op["InnerProductKernel"]):
    """Describe an inner product."""

    axis: int = 1
    transpose: bool = False
    bias: bool = True


class InnerProductKernel(Protocol):
    """Forward, gradient of the data and gradient of the weights."""

    def forward(self, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""

    def backward_data(self, dy: Tensor, w: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""

    def backward_weights(self, x: Tensor, dy: Tensor, dw: Tensor | None, db: Tensor | None) -> None:
        """Add to dw and db; either may be None if it is not needed."""
