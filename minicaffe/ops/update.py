"""The solver's step over one parameter: what every backend must compute.

Tensors in planning order: w, dw and the rule's history tensors, all of one shape. dw comes in as
the accumulated gradient and goes out as the value subtracted from w, as Caffe leaves it::

    g  = scale * dw + decay * (w            if regularization is "L2",
                               sign(w)      if "L1")
    dw = rule(g, rate, history)
    w  = w - dw

=========  =======================================================  =========
rule       history h and the value subtracted                       tensors
=========  =======================================================  =========
sgd        h = momentum * h + rate * g;  dw = h                     h
=========  =======================================================  =========

`rate`, `decay` and `scale` change between iterations, so they are arguments of the kernel and not
part of the op.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Update(Op):
    """Describe a solver's rule."""

    rule: Literal["sgd"]
    regularization: Literal["L1", "L2"] = "L2"
    momentum: float = 0.0


class UpdateKernel(Protocol):
    """One step of one parameter."""

    def step(
        self,
        w: Tensor,
        dw: Tensor,
        history: Sequence[Tensor],
        rate: float,
        decay: float,
        scale: float,
    ) -> None:
        """Update w, dw and history.

        Parameters
        ----------
        w, dw : Tensor
            Parameter and gradient, of one shape; both overwritten.
        history : sequence of Tensor
            The rule's memory, updated.
        rate : float
            Learning rate of this parameter (policy's rate times lr_mult).
        decay : float
            Weight decay of this parameter (weight_decay times decay_mult).
        scale : float
            What the gradient is multiplied with first: 1 / iter_size, and clipping.
        """


@dataclass(frozen=True)
class SumOfSquares(Op):
    """Describe the sum of squares of one tensor, for clip_gradients."""


class SumOfSquaresKernel(Protocol):
    """Sum of squares of one tensor."""

    def forward(self, x: Tensor) -> float:
        """Return the sum, accumulated in double precision; waits for the device."""
