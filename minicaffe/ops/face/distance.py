"""Distances to learned vectors, and inner products of channels: what every backend must compute.

InnerDistance: tensors in planning order x (N..., K...), w (F, K), or (K, F) with `transpose`, y
(N..., F) and optionally b (F,). Axes before `axis` are samples::

    L2: y[n, f] = b[f] + sum over k of (x[n, k] - w[f, k])^2
    L1: y[n, f] = b[f] + sum over k of |x[n, k] - w[f, k]|, whose derivative is 0 at 0

Gram: x (N, C, S...), y (N, C, C, 1), with M = C times the number of values of a channel::

    y[n, i, j] = sum over s of x[n, i, s] x[n, j, s] / M
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor

DistanceNorm: TypeAlias = Literal["L1", "L2"]


@dataclass(frozen=True)
class InnerDistance(Op["InnerDistanceKernel"]):
    """Describe the distances of samples to the rows of a matrix."""

    axis: int
    norm: DistanceNorm = "L2"
    transpose: bool = False


class InnerDistanceKernel(Protocol):
    """Forward, and the gradients of all inputs."""

    def forward(self, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""

    def backward_data(self, x: Tensor, w: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""

    def backward_weights(
        self, x: Tensor, w: Tensor, dy: Tensor, dw: Tensor | None, db: Tensor | None
    ) -> None:
        """Add to dw and db; None for what is not needed."""


@dataclass(frozen=True)
class Gram(Op["GramKernel"]):
    """Describe the inner products of the channels of each sample."""


class GramKernel(Protocol):
    """Forward, and the gradient."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
