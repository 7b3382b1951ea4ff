"""Vectors of weights made unit length: what every backend must compute.

Tensor: w (F, K), or (K, F) if `axis` is 0; its vectors lie along `axis`. In place, without a
gradient::

    w = w / sqrt(sum of squares of the vector + 1e-12)

so that a vector of zeros stays one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class UnitVectors(Op["UnitVectorsKernel"]):
    """Describe the scaling of vectors to unit length."""

    axis: int = 1


class UnitVectorsKernel(Protocol):
    """Scale in place."""

    def forward(self, w: Tensor) -> None:
        """Overwrite w."""
