"""Maps the ops of `minicaffe.ops.activation` to eltwise primitives of oneDNN."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicaffe.backends.onednn.runtime.library import Alg, Arg
from minicaffe.ops import activation as ops
from minicaffe.ops.activation import Activation


class Recipe(NamedTuple):
    """y = factor * function(scale x + shift).

    Attributes
    ----------
    function : Alg
    numbers : tuple of float
        The primitive's alpha and beta.
    gradient : Alg
        The same function, or the variant that computes the gradient from its result.
    gradient_numbers : tuple of float
    scale, shift, factor : float
    keeps_zero : bool
        Whether y is 0 where x is.
    loses_nan : bool
        Whether the function or its gradient is finite for NaN, or wrong for infinity.
    """

    function: Alg
    gradient: Alg
    numbers: tuple[float, float]
    gradient_numbers: tuple[float, float]
    scale: float = 1.0
    shift: float = 0.0
    factor: float = 1.0
    keeps_zero: bool = True
    loses_nan: bool = False

    @property
    def has_inner(self) -> bool:
        """Whether a linear function of x comes before the function."""
        return (self.scale, self.shift) != (1, 0)

    @property
    def reads_y(self) -> bool:
        """Whether the gradient can be computed from y; that of a linear function reads neither."""
        return self.gradient_reads == Arg.DST or self.gradient is Alg.ELTWISE_LINEAR

    @property
    def gradient_reads(self) -> Arg:
        """The argument of the gradient's primitive that takes the values it needs."""
        return Arg.SRC if self.gradient is self.function else Arg.DST


# The function, and its gradient computed from y where the contract allows it.
RELU = (Alg.ELTWISE_RELU, Alg.ELTWISE_RELU_USE_DST)
ELU = (Alg.ELTWISE_ELU, Alg.ELTWISE_ELU_USE_DST)
TANH = (Alg.ELTWISE_TANH, Alg.ELTWISE_TANH_USE_DST)
SIGMOID = (Alg.ELTWISE_LOGISTIC, Alg.ELTWISE_LOGISTIC_USE_DST)
EXP = (Alg.ELTWISE_EXP, Alg.ELTWISE_EXP_USE_DST)
POWERS = {
    0.5: (Alg.ELTWISE_SQRT, Alg.ELTWISE_SQRT),
    2.0: (Alg.ELTWISE_SQUARE, Alg.ELTWISE_SQUARE),
}


def recipe_of(op: Activation) -> Recipe | None:
    """Return how oneDNN computes an op; None where NumPy is as fast or the values would differ.

    Other powers are computed by powf value by value, no faster than by NumPy. oneDNN has no
    threshold function.
    """
    match op:
        case ops.Relu(slope):
            return _direct(op, *RELU, slope)
        case ops.Elu(alpha):
            return _direct(op, *ELU, alpha)._replace(loses_nan=True)
        case ops.Tanh():
            return _direct(op, *TANH)
        case ops.Sigmoid():
            return _direct(op, *SIGMOID)._replace(keeps_zero=False)
        case ops.Abs():
            return _direct(op, Alg.ELTWISE_ABS, Alg.ELTWISE_ABS)
        case ops.Swish(beta):
            return _direct(op, Alg.ELTWISE_SWISH, Alg.ELTWISE_SWISH, beta)
        case ops.Clip():
            return _clip(op)
        case ops.Bnll():
            recipe = _direct(op, Alg.ELTWISE_SOFT_RELU, Alg.ELTWISE_SOFT_RELU, 1.0)
            return recipe._replace(keeps_zero=False)
        case ops.Exp():
            return _of_linear(op, *EXP)._replace(loses_nan=True)
        case ops.Log():
            recipe = _of_linear(op, Alg.ELTWISE_LOG, Alg.ELTWISE_LOG)
            return recipe._replace(factor=op.factor)
        case ops.Power(power, scale) if power * scale == 0:
            # A constant, also where x is not finite: 0 * x would be NaN.
            return None
        case ops.Power(power) if power in POWERS:
            return _of_linear(op, *POWERS[power])._replace(loses_nan=power == 0.5)
        case ops.Power(1):
            linear, numbers = Alg.ELTWISE_LINEAR, (op.scale, op.shift)
            return Recipe(linear, linear, numbers, numbers, keeps_zero=not op.shift)
    return _recipe_of_forks(op)


def _recipe_of_forks(op: Activation) -> Recipe | None:
    match op:
        case ops.Relu6(0):
            numbers = (0.0, 6.0)
            clip, gradient = Alg.ELTWISE_CLIP_V2, Alg.ELTWISE_CLIP_V2_USE_DST
            return Recipe(clip, gradient, numbers, numbers, loses_nan=True)
        case ops.HardSigmoid(scale, shift):
            function, numbers = Alg.ELTWISE_HARD_SIGMOID, (scale, shift)
            recipe = Recipe(function, function, numbers, numbers, loses_nan=True)
            return recipe._replace(keeps_zero=not shift)
        case ops.Mish():
            mish = _direct(op, Alg.ELTWISE_MISH, Alg.ELTWISE_MISH)
            return mish._replace(loses_nan=True)
    return None


def _direct(op: Activation, function: Alg, gradient: Alg, number: float = 0.0) -> Recipe:
    numbers = (number, 0.0)
    return Recipe(function, function if op.gradient_needs_x() else gradient, numbers, numbers)


def _of_linear(op: ops.Exp | ops.Log | ops.Power, function: Alg, gradient: Alg) -> Recipe:
    none = (0.0, 0.0)
    return Recipe(function, gradient, none, none, op.scale, op.shift, keeps_zero=False)


def _clip(op: ops.Clip) -> Recipe:
    # oneDNN passes the gradient where low < x <= high, Caffe also where x equals low.
    below = float(np.nextafter(np.float32(op.low), np.float32(-np.inf)))
    clip, numbers = Alg.ELTWISE_CLIP, (op.low, op.high)
    return Recipe(
        clip, clip, numbers, (below, op.high), keeps_zero=op.low <= 0 <= op.high
    )._replace(loses_nan=True)
