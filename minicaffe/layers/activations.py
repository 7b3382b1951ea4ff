"""Elementwise activation layers."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.elementwise import ActivationLayer
from minicaffe.layers.registry import register
from minicaffe.ops import activation as ops
from minicaffe.schema.minicaffe_pb2 import (
    SigmoidParameter,
    SwishParameter,
    TanHParameter,
    ThresholdParameter,
)


@register("AbsVal")
class AbsVal(ActivationLayer):
    """Compute the absolute value of each element.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = abs(x), dy/dx = sign(x), 0 at 0.

    Differs from Caffe: works in place; there it is refused.
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Abs()


@register("BNLL")
class BNLL(ActivationLayer):
    """Compute softplus, in Caffe the binomial normal log likelihood.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = log(1 + exp(x)), dy/dx = 1 / (1 + exp(-x)).
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Bnll()


@register("Sigmoid")
class Sigmoid(ActivationLayer[SigmoidParameter]):
    """Apply the logistic function, whose values are in (0, 1).

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = 1 / (1 + exp(-x)), dy/dx = y (1 - y).
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Sigmoid()


@register("Swish")
class Swish(ActivationLayer[SwishParameter]):
    """Apply the swish function: each element times its sigmoid.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = x sigmoid(beta x), dy/dx = beta y + sigmoid(beta x) (1 - beta y).

    References
    ----------
    Ramachandran et al., "Searching for activation functions", 2017.
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Swish(self.settings.beta)


@register("TanH")
class TanH(ActivationLayer[TanHParameter]):
    """Apply the hyperbolic tangent, whose values are in (-1, 1).

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = tanh(x), dy/dx = 1 - y^2.
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Tanh()


@register("Threshold")
class Threshold(ActivationLayer[ThresholdParameter]):
    """Compare each element with a threshold.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = 1 if x > threshold, else 0. There is no gradient.
    """

    without_gradient = (0,)

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Threshold(self.settings.threshold)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Raise an error: the derivative is 0 wherever it is defined."""
        self.require(not any(propagate_down), "layers of type Threshold have no gradient")
