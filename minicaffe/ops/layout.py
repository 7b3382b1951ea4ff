"""Copies and sums of tensors: what every backend must compute.

Copy: tensors x, y with as many values; y = x. Add: tensors x1, ..., xn, y of one shape;
y = x1 + ... + xn (the gradient of a blob with several readers); y may be x1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Copy(Op["CopyKernel"]):
    """Describe a copy, in C order; the shapes may differ."""


class CopyKernel(Protocol):
    """Copy one tensor."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""


@dataclass(frozen=True)
class Add(Op["AddKernel"]):
    """Describe a sum of several tensors."""


class AddKernel(Protocol):
    """Add several tensors."""

    def forward(self, xs: Sequence[Tensor], y: Tensor) -> None:
        """Overwrite y."""
