"""Elementwise sum, product and maximum: what every backend must compute.

Tensors in planning order: x1, ..., xn, y, all of one shape, n at least 2.

=========  ==============================  =======================================================
operation  y                               dxi
=========  ==============================  =======================================================
sum        sum of ci xi                    ci dy
prod       product of xi                   dy * product of the other x; dy * y / xi if not `stable`
max        largest xi                      dy where xi was chosen, 0 elsewhere
=========  ==============================  =======================================================

max chooses the later of x1 and x2 if they are equal, and a further one only if it is larger. NaN is
larger than all numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor

EltwiseOperation: TypeAlias = Literal["sum", "prod", "max"]


@dataclass(frozen=True)
class Eltwise(Op["EltwiseKernel"]):
    """Describe the operation; sum has one coefficient for each x, the others none."""

    operation: EltwiseOperation
    coefficients: tuple[float, ...] = ()
    stable: bool = True


class EltwiseKernel(Protocol):
    """Forward and backward; forward saves the index of the x that max chose."""

    def forward(self, xs: Sequence[Tensor], y: Tensor) -> None:
        """Overwrite y."""

    def backward(
        self, xs: Sequence[Tensor], y: Tensor, dy: Tensor, dxs: Sequence[Tensor | None]
    ) -> None:
        """Overwrite the dxs; None for those that are not needed. Only prod reads xs and y."""
