"""Indices and values of the largest elements: what every backend must compute.

Tensors in planning order: x, y. The largest `top_k` values are sorted from the largest down; of
equal ones the later comes first.

With `axis` they are those along that axis, where y has top_k entries: values if `values`, indices
otherwise. Without (None), x is N samples of K values, and y (N, 1, top_k) their indices; with
`values`, y (N, 2, top_k) has indices first, then values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class ArgMax(Op["ArgMaxKernel"]):
    """Describe a search for the largest elements."""

    top_k: int = 1
    axis: int | None = None
    values: bool = False


class ArgMaxKernel(Protocol):
    """Forward only: indices have no gradient."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y, which may have further axes of size 1."""
