"""Smooth L1 losses: what every backend must compute.

f(d) = 0.5 (sigma d)^2 where |d| < 1 / sigma^2, |d| - 0.5 / sigma^2 elsewhere. All xs have as many
values; dloss is a tensor of shape (). Backward reads the xs.

SmoothL1Loss: tensors in planning order a, b (N, ...)[, inside, outside like a], loss ()::

    loss = sum of outside f(inside (a - b)) / N
    da   = dloss inside outside f'(inside (a - b)) / N = -db

SmoothL1LossOhem: tensors a, b (N, C, ...)[, weights like a], losses (N, 1, ...), loss (); sigma is
1::

    losses = sum over channels of f(weights (a - b)),  loss = sum of losses / divisor
    da     = dloss f'(weights (a - b)) / divisor = -db

so the gradient is the derivative for weights of 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class SmoothL1Loss(Op["SmoothL1LossKernel"]):
    """Describe a smooth L1 loss over N, with optional weights."""

    sigma: float = 1.0


class SmoothL1LossKernel(Protocol):
    """Forward, and the gradients of a and b; xs are a, b and the weights, if there are any."""

    def forward(self, xs: Sequence[Tensor], loss: Tensor) -> None:
        """Overwrite loss."""

    def backward(
        self, xs: Sequence[Tensor], dloss: Tensor, da: Tensor | None, db: Tensor | None
    ) -> None:
        """Overwrite da and db; None for those that are not needed."""


@dataclass(frozen=True)
class SmoothL1LossOhem(Op["SmoothL1LossOhemKernel"]):
    """Describe a smooth L1 loss with the loss of each region."""

    divisor: float


class SmoothL1LossOhemKernel(Protocol):
    """Forward, and the gradients of a and b; xs are a, b and the weights, if there are any."""

    def forward(self, xs: Sequence[Tensor], losses: Tensor, loss: Tensor) -> None:
        """Overwrite losses and loss."""

    def backward(
        self, xs: Sequence[Tensor], dloss: Tensor, da: Tensor | None, db: Tensor | None
    ) -> None:
        """Overwrite da and db; None for those that are not needed."""
