"""The solver's step over one parameter: what every backend must compute.

Tensors in planning order: w, dw and the rule's history tensors, all of one shape. dw comes in as
the accumulated gradient and goes out as the value subtracted from w, as Caffe leaves it::

    g  = scale * dw + decay * (w            if regularization is "L2",
                               sign(w)      if "L1")
    dw = rule(g, rate, history)
    w  = w - dw

========  ==========================================================================  =======
rule      history and the value subtracted (m is momentum)                            history
========  ==========================================================================  =======
sgd       h = m h + rate g;  dw = h                                                   h
nesterov  h' = m h + rate g;  dw = (1 + m) h' - m h;  h = h'                          h
adagrad   h = h + g^2;  dw = rate g / (sqrt(h) + delta)                               h
rmsprop   h = decay2 h + (1 - decay2) g^2;  dw = rate g / (sqrt(h) + delta)           h
adadelta  h = m h + (1 - m) g^2;  u = g sqrt((k + delta) / (h + delta));              h, k
          k = m k + (1 - m) u^2;  dw = rate u
adam      h = m h + (1 - m) g;  k = decay2 k + (1 - decay2) g^2;                      h, k
          dw = rate h / (sqrt(k) + delta)
========  ==========================================================================  =======

Sources: Polyak 1964; Nesterov 1983; Duchi et al. 2011; Tieleman and Hinton 2012; Zeiler 2012;
Kingma and Ba 2015 (their bias correction is part of the rate that the solver passes).

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
    """Describe a solver's rule; `decay2` is rms_decay or momentum2."""

    rule: Literal["sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam"]
    regularization: Literal["L1", "L2"] = "L2"
    momentum: float = 0.0
    decay2: float = 0.0
    delta: float = 0.0


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
