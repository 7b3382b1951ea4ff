"""Segmentation beside YOLO: what every backend must compute.

MaskLoss: tensors in planning order x, t (N, C, H, W)[, counts (N, C)], loss (); s is the sigmoid::

    loss = sum of (scale w (s(x) - t))^2 / N        dx = dloss scale w (s(x) - t) / N

with w = 1 where t = 0, and without counts. Elsewhere w = 2 - k / max(N H W - k, 1) with k the sum
of the class's counts over the batch. dx is not the derivative of the loss. Backward reads x, t and
counts.

MaskIou: tensors x, t (N, C, H, W), y (1, 1, 1, C). y[c] is the number of pixels where both exceed
`threshold` over that where one does; 1 if there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class MaskLoss(Op["MaskLossKernel"]):
    """Describe a squared loss of masks."""

    scale: float


class MaskLossKernel(Protocol):
    """Forward and backward; inputs are x, t and the counts, if there are any."""

    def forward(self, inputs: Sequence[Tensor], loss: Tensor) -> None:
        """Overwrite loss."""

    def backward(self, inputs: Sequence[Tensor], dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""


@dataclass(frozen=True)
class MaskIou(Op["MaskIouKernel"]):
    """Describe the intersection over union of masks."""

    threshold: float


class MaskIouKernel(Protocol):
    """Forward only."""

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> None:
        """Overwrite y."""
