"""Activation layers of forks that saturate, or rectify smoothly."""

from __future__ import annotations

from minicaffe.layers.elementwise import ActivationLayer
from minicaffe.layers.registry import register
from minicaffe.ops import activation as ops
from minicaffe.schema.forks_pb2 import ReLU6Parameter

# The numbers of Klambauer et al., as in HolmesShuan's implementation.
_SELU_ALPHA, _SELU_SCALE = 1.67326324, 1.050700987


@register("HardSigmoid")
class HardSigmoid(ActivationLayer):
    """Apply a piecewise linear approximation of the sigmoid.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = min(max(0.2 x + 0.5, 0), 1); dy/dx = 0.2 where 0 < y < 1, else 0. A layer of MobileNet-YOLO.
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.HardSigmoid()


@register("Mish")
class Mish(ActivationLayer):
    """Apply the mish function: each element times the hyperbolic tangent of its softplus.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = x tanh(log(1 + exp(x))).

    References
    ----------
    Misra, "Mish: a self regularized non-monotonic activation function", 2020.
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Mish()


@register("ReLU6")
class ReLU6(ActivationLayer[ReLU6Parameter]):
    """Apply the rectified linear unit limited to 6.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = min(max(x, 0) + negative_slope * min(x, 0), 6); dy/dx = 0 where y is 6. The layer of
    MobileNet-YOLO.

    References
    ----------
    Howard et al., "MobileNets", 2017.
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Relu6(self.settings.negative_slope)


@register("SELU")
class SELU(ActivationLayer):
    """Apply the scaled exponential linear unit (SELU).

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = 1.0507 x if x > 0, else 1.0507 * 1.67326 (exp(x) - 1).

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks", 2017.
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Selu(_SELU_ALPHA, _SELU_SCALE)


@register("SeLu")
class SeLu(SELU):
    """Apply the scaled exponential linear unit (SELU), under the name of soeaver's Caffe.

    Shapes: x (...) -> y (...)

    Notes
    -----
    As SELU.
    """
