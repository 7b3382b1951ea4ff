"""Elementwise activation functions: one op type each.

Tensors in planning order: x, y of one shape; y may be x (in place). With s = scale x + shift:

=========  ===============================  ===============================  ================
op         y                                dy/dx                            reads
=========  ===============================  ===============================  ================
Relu       max(x, 0) + slope min(x, 0)      1 if x > 0 else slope            signs of y, or x
                                                                             if slope < 0
Elu        x if x > 0 else alpha (e^x - 1)  1 if x > 0 else alpha + y        y, or x if alpha < 0
Sigmoid    1 / (1 + exp(-x))                y (1 - y)                        y
Tanh       tanh x                           1 - y^2                          y
Exp        exp s                            scale y                          y
Bnll       log(1 + exp x)                   1 / (1 + exp(-x))                x
Abs        abs x                            sign x                           x
Clip       x limited to low .. high         1 if low <= x <= high else 0     x
Log        factor log s                     factor scale / s                 x
Power      s^power, shift^power whatever    power scale s^(power - 1), 0     x
           x is if power scale is 0         if power scale is 0
Swish      x sigmoid(beta x)                s + beta x s (1 - s)             x
                                            with s = sigmoid(beta x)
Threshold  1 if x > threshold else 0        none: backward is not called
Relu6      min(Relu, 6)                     0 if y >= 6, else Relu's         y, or x if slope < 0
Hard-      low 0, high 1 of s               scale if 0 < s < 1 else 0        x
Sigmoid
Selu       scale Elu                        scale if x > 0 else              y, or x if alpha < 0
                                            y + scale alpha                  or scale <= 0
Mish       x tanh log(1 + e^x)              t + x sigmoid(x) (1 - t^2)       x
                                            with t = tanh log(1 + e^x)
Negative-  min(x, 0) + slope max(x, 0)      1 if x < 0 else slope            x
Relu
=========  ===============================  ===============================  ================

``reads`` names the one tensor whose values the gradient reads; the other one may hold anything,
because a later layer may have overwritten it in place. Instead of y, an op that reads only whether
y is positive may be given x. A kernel that is planned in place and reads x saves a copy of x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import EpilogueOp, Op, Tensor


@dataclass(frozen=True)
class Activation(Op["ActivationKernel"]):
    """Base of the elementwise functions of one variable."""

    def gradient_needs_x(self) -> bool:
        """Return whether the gradient reads x, and not y, which does not determine it."""
        return False

    def keeps_signs(self) -> bool:
        """Return whether y is positive where x is, and the gradient reads no more than that."""
        return False


class _NeedsX(Activation):
    def gradient_needs_x(self) -> bool:
        """Return True."""
        return True


@dataclass(frozen=True)
class Relu(Activation):
    """Rectified linear unit."""

    slope: float = 0.0

    def gradient_needs_x(self) -> bool:
        """Return whether y may be positive where x is negative."""
        return self.slope < 0

    def keeps_signs(self) -> bool:
        """Return whether y is positive only where x is."""
        return self.slope >= 0


@dataclass(frozen=True)
class Elu(Activation):
    """Exponential linear unit."""

    alpha: float = 1.0

    def gradient_needs_x(self) -> bool:
        """Return whether y may be positive where x is negative."""
        return self.alpha < 0


@dataclass(frozen=True)
class Sigmoid(Activation):
    """Logistic function."""


@dataclass(frozen=True)
class Tanh(Activation):
    """Hyperbolic tangent."""


@dataclass(frozen=True)
class Exp(Activation):
    """Exponential of a linear function."""

    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Bnll(_NeedsX):
    """Softplus, in Caffe the binomial normal log likelihood."""


@dataclass(frozen=True)
class Abs(_NeedsX):
    """Absolute value."""


@dataclass(frozen=True)
class Clip(_NeedsX):
    """Limit to a closed interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Log(_NeedsX):
    """Logarithm of a linear function; `factor` is 1 / log(base)."""

    factor: float = 1.0
    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Power(_NeedsX):
    """Power of a linear function."""

    power: float = 1.0
    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Swish(_NeedsX):
    """x times its sigmoid."""

    beta: float = 1.0


@dataclass(frozen=True)
class Threshold(Activation):
    """Step function."""

    threshold: float = 0.0


@dataclass(frozen=True)
class Relu6(Activation):
    """Rectified linear unit that saturates at 6."""

    slope: float = 0.0

    def gradient_needs_x(self) -> bool:
        """Return whether y may be positive where x is negative."""
        return self.slope < 0


@dataclass(frozen=True)
class HardSigmoid(_NeedsX):
    """Linear function limited to 0 .. 1."""

    scale: float = 0.2
    shift: float = 0.5


@dataclass(frozen=True)
class Selu(Activation):
    """Scaled exponential linear unit."""

    alpha: float
    scale: float

    def gradient_needs_x(self) -> bool:
        """Return whether y may be positive where x is not, or the reverse."""
        return self.alpha < 0 or self.scale <= 0


@dataclass(frozen=True)
class Mish(_NeedsX):
    """x times the hyperbolic tangent of its softplus."""


@dataclass(frozen=True)
class NegativeRelu(_NeedsX):
    """Rectified linear unit that keeps negative values."""

    slope: float = 0.0


ACTIVATIONS = (
    *(Abs, Bnll, Clip, Elu, Exp, HardSigmoid, Log, Mish, NegativeRelu),
    *(Power, Relu, Relu6, Selu, Sigmoid, Swish, Tanh, Threshold),
)


def starts_with_relu(epilogue: Sequence[EpilogueOp]) -> bool:
    """Return whether the first op is a ReLU without a slope, which many kernels can fuse."""
    op = epilogue[0].op if epilogue else None
    return isinstance(op, Relu) and op.slope == 0


class ActivationKernel(Protocol):
    """Forward and backward of one function."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""

    def backward(self, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx with dy * f'(x); dx may be dy itself."""
