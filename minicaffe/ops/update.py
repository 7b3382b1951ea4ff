"""The solver's step over all parameters: what every backend must compute.

Tensors in planning order: for each parameter w, dw and the rule's history tensors, these of one
shape. dw comes in as the accumulated gradient and goes out as the value subtracted from w, as Caffe
leaves it::

    rate, decay = size.rate * lr_mult, size.decay * decay_mult
    g  = size.scale * dw + decay * (w            if regularization is "L2",
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

A weight that is not finite makes everything after it worthless, and does not always show: in a
pass with a convolution the fastest ReLUs replace NaN by 0, and a loss can stay as it is for ever.
So a step also says whether all w are finite; see `minicaffe.net.Net.non_finite`.

The size of a step changes between iterations, so it is an argument of the kernel and no part of the
op; and the kernel asks for it in every run, because a backend may repeat a recorded one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Update(Op["UpdateKernel"]):
    """Describe a solver's rule; `decay2` is rms_decay or momentum2."""

    rule: Literal["sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam"]
    regularization: Literal["L1", "L2"] = "L2"
    momentum: float = 0.0
    decay2: float = 0.0
    delta: float = 0.0


class UpdateOperands(NamedTuple):
    """What a step changes, and what its size is multiplied with there.

    Parameters
    ----------
    w, dw : Tensor
        Values and gradient, of one shape; both overwritten.
    history : sequence of Tensor
        The rule's memory, updated.
    lr_mult, decay_mult : float
    """

    w: Tensor
    dw: Tensor
    history: Sequence[Tensor]
    lr_mult: float = 1.0
    decay_mult: float = 1.0


class StepSize(NamedTuple):
    """How far to go in one step.

    Parameters
    ----------
    rate : float
        Learning rate, before lr_mult.
    decay : float
        Weight decay, before decay_mult.
    scale : float
        What gradients are multiplied with first: 1 / iter_size, and clipping.
    """

    rate: float
    decay: float = 0.0
    scale: float = 1.0


class UpdateKernel(Protocol):
    """One step of all parameters."""

    def step(
        self, parameters: Sequence[UpdateOperands], size: Callable[[], StepSize], non_finite: Tensor
    ) -> None:
        """Update w, dw and history of all parameters.

        Parameters
        ----------
        parameters : sequence of UpdateOperands
            Those planned for.
        size : callable
            Asked in every run, recorded ones included; see `Backend.compile`.
        non_finite : Tensor
            One value, overwritten: 0, or NaN if a w is not finite now.
        """


@dataclass(frozen=True)
class SumOfSquares(Op["SumOfSquaresKernel"]):
    """Describe the sum of squares of all values of some tensors, for clip_gradients."""


class SumOfSquaresKernel(Protocol):
    """Sum of squares of some tensors."""

    def forward(self, tensors: Sequence[Tensor]) -> float:
        """Return the sum, accumulated in double precision; waits for the device."""


@dataclass(frozen=True)
class NonFiniteFlag(Op["NonFiniteFlagKernel"]):
    """Describe how a loss shows what a step has said about the weights; planned for any tensors."""


class NonFiniteFlagKernel(Protocol):
    """The sum of a loss and what `UpdateKernel.step` leaves in `non_finite`."""

    def forward(self, non_finite: Tensor, loss: Tensor) -> None:
        """Add non_finite to every value of the loss."""
