"""Sum of absolute differences, or of lengths of difference vectors: what every backend must do.

Tensors in planning order: a (N, C, ...), loss () and optionally b like a, 0 if there is none. With
d = a - b, where entries that are NaN count as 0 if `skips_nan`::

    entries:     loss = sum of |d| / Z, where |d| <= plateau counts as 0
    per_pixel:   loss = sum over the pixels of sqrt(s + epsilon) / Z, where s is the sum over the
                 channels of d^2, or their mean with `averages`; s <= plateau^2 counts as 0

Z is N, or with `divides_by_entries` the number of entries that are not NaN, divided by C; at least
1. The gradient is the derivative, and 0 for what counts as 0; db = -da.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class L1Loss(Op["L1LossKernel"]):
    """Describe a sum of distances."""

    per_pixel: bool = False
    averages: bool = False
    divides_by_entries: bool = False
    epsilon: float = 0.0
    plateau: float = 0.0
    skips_nan: bool = False


class L1LossKernel(Protocol):
    """Forward, and the gradients of both inputs."""

    def forward(self, a: Tensor, b: Tensor | None, loss: Tensor) -> None:
        """Overwrite loss."""

    def backward(
        self, a: Tensor, b: Tensor | None, dloss: Tensor, da: Tensor | None, db: Tensor | None
    ) -> None:
        """Overwrite da and db; None for those that are not needed."""
