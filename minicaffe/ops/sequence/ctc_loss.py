"""Connectionist temporal classification: what every backend must compute.

Tensors in planning order: x (T, N, C), scores of C classes at T steps, before the softmax; labels
(N, L...), classes as floats; loss (). In a row of labels, entries equal to `blank` are skipped
wherever they stand; the rest is the sequence of the sample. With p the softmax of x::

    cost of a sample = - log sum over all paths of prod over t of p[t, n, path[t]]

A path names one class a step; merging equal neighbours and then dropping blanks leaves the
sequence. A sequence that needs more steps than T (its length and one more for each pair of equal
neighbours) is impossible: its cost and gradient are 0.

    loss = sum of costs / divisor,  dx = dloss * d(sum of costs)

The divisor is N, or with `divides_by_possible` the number of samples that are possible (at least
1); it does not divide the gradient, as in the forks that have this loss.

Graves et al., "Connectionist temporal classification: labelling unsegmented sequence data with
recurrent neural networks", 2006.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class CtcLoss(Op["CtcLossKernel"]):
    """Describe the negative log likelihood of sequences of labels."""

    blank: int
    divides_by_possible: bool = False


class CtcLossKernel(Protocol):
    """Forward raises a LabelError for a label that is not a class."""

    def forward(self, x: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""

    def backward(self, x: Tensor, labels: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
