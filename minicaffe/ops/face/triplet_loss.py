"""Loss of triplets: what every backend must compute.

Tensors in planning order: a, p, n (N, ...), anchors, positives and negatives, loss ()::

    lack = margin + |a - p|^2 - |a - n|^2 for each sample
    loss = sum of max(0, lack) / (2 N)

and where lack is above 0::

    da = dloss (n - p) / N      dp = dloss (p - a) / N      dn = dloss (a - n) / N
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class TripletLoss(Op["TripletLossKernel"]):
    """Describe a loss of triplets."""

    margin: float


class TripletLossKernel(Protocol):
    """Forward, and the gradients of the three inputs."""

    def forward(self, a: Tensor, p: Tensor, n: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""

    def backward(
        self, inputs: tuple[Tensor, Tensor, Tensor], dloss: Tensor, diffs: Sequence[Tensor | None]
    ) -> None:
        """Overwrite the gradients of a, p and n; None for those that are not needed."""
