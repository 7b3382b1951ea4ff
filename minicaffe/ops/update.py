"""Parameter update of a solver: what every backend must compute.

Tensors in planning order: for each parameter w, dw and the rule's history tensors, these of one
shape. dw is the accumulated gradient before and the value subtracted from w afterwards, as in
Caffe::

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
adamw     adam, where the decay is left out of g, and dw = dw + rate decay (w or        h, k
          sign(w))
========  ==========================================================================  =======

Sources: Polyak 1964; Nesterov 1983; Duchi et al. 2011; Tieleman and Hinton 2012; Zeiler 2012;
Kingma and Ba 2015 (their bias correction is part of the rate that the solver passes); Loshchilov
and Hutter 2019, with the decay multiplied by the rate as in PyTorch and Keras.

A weight that is not finite invalidates all later results, but the loss does not always show it: the
ReLUs that are fused into convolutions replace NaN by 0, so that the loss can stay finite. Therefore
a step also sets a flag if any w is not finite; see `minicaffe.net.Net.non_finite`.

The size of a step changes between iterations, so it is an argument of the kernel and not part of
the op. The kernel calls a function for it in every run, because a backend may replay a captured
graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Update(Op["UpdateKernel"]):
    """Describe a solver's rule; `decay2` is rms_decay or momentum2."""

    rule: Literal["sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamw"]
    regularization: Literal["L1", "L2"] = "L2"
    momentum: float = 0.0
    decay2: float = 0.0
    delta: float = 0.0

    @property
    def decay_is_decoupled(self) -> bool:
        """Whether the decay changes w directly, instead of the gradient."""
        return self.rule == "adamw"


class UpdateOperands(NamedTuple):
    """Tensors of one parameter that a step changes, and the multipliers of the step.

    Parameters
    ----------
    w, dw : Tensor
        Values and gradient, of one shape; both overwritten.
    history : sequence of Tensor
        The history of the rule, updated.
    lr_mult, decay_mult : float
    """

    w: Tensor
    dw: Tensor
    history: Sequence[Tensor]
    lr_mult: float = 1.0
    decay_mult: float = 1.0


class StepSize(NamedTuple):
    """Learning rate, weight decay and gradient scale of one step.

    Parameters
    ----------
    rate : float
        Learning rate, before lr_mult.
    decay : float
        Weight decay, before decay_mult.
    scale : float
        Factor of the gradients: 1 / iter_size, times that of clipping.
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
class WeightAverage(Op["WeightAverageKernel"]):
    """Describe the running average of some tensors; planned for average and w of each parameter.

    ::

        average = average + share * (w - average)

    A share of 1 copies w, so that nothing of the average remains.
    """


class WeightAverageKernel(Protocol):
    """One step of the averages of all parameters."""

    def average(
        self, averages: Sequence[Tensor], weights: Sequence[Tensor], share: Callable[[], float]
    ) -> None:
        """Update the averages.

        Parameters
        ----------
        averages, weights : sequence of Tensor
            Those planned for.
        share : callable
            Asked in every run, recorded ones included; 0 changes nothing.
        """


@dataclass(frozen=True)
class NonFiniteFlag(Op["NonFiniteFlagKernel"]):
    """Describe adding the non-finite flag to a loss; planned for any tensors."""


class NonFiniteFlagKernel(Protocol):
    """Adds the `non_finite` flag of `UpdateKernel.step` to a loss."""

    def forward(self, non_finite: Tensor, loss: Tensor) -> None:
        """Add non_finite to every value of the loss."""
