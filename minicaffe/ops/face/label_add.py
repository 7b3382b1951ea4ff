"""A number added to the score of the true class: what every backend must compute.

Tensors in planning order: x (N, K...), labels (N,), classes as floats, bias (1,), y like x; the
values of a sample are the scores of its classes::

    y[n, j] = x[n, j] + bias   if j = labels[n] and x[n, j] > -bias
    y[n, j] = x[n, j]          else

The gradient is that of a copy. y may be x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class LabelAdd(Op["LabelAddKernel"]):
    """Describe the addition of a bias to the true class."""


class LabelAddKernel(Protocol):
    """Forward only: the gradient is a copy."""

    def forward(self, x: Tensor, labels: Tensor, bias: Tensor, y: Tensor) -> None:
        """Overwrite y.

        Raises
        ------
        LabelError
            If a label is not a class.
        """
