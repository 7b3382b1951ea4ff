"""Distance of samples to the centre of their class: what every backend must compute.

Tensors in planning order: x (N, K...), labels (N,), classes as floats, centers (F, K), loss ()::

    loss = sum of |x[n] - centers[labels[n]]|^2 / (2 N)
    dx[n] = dloss (x[n] - centers[labels[n]]) / N
    dcenters[j] += sum over the n of class j of (centers[j] - x[n]) / (1 + their number)

The last is a step towards the mean of the class, independent of dloss; it is no derivative.

Wen et al., "A discriminative feature learning approach for deep face recognition", 2016, equations
2 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class CenterLoss(Op["CenterLossKernel"]):
    """Describe half the mean squared distance to the centres."""


class CenterLossKernel(Protocol):
    """Forward raises a LabelError for a label that is not a class."""

    def forward(self, x: Tensor, labels: Tensor, centers: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""

    def backward(
        self, x: Tensor, labels: Tensor, centers: Tensor, dloss: Tensor, dx: Tensor
    ) -> None:
        """Overwrite dx."""

    def move_centers(self, x: Tensor, labels: Tensor, centers: Tensor, dcenters: Tensor) -> None:
        """Add to dcenters."""
