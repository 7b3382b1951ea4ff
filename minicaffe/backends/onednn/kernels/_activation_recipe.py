"""How oneDNN's functions of one number make up those of `minicaffe.ops.activation`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicaffe.backends.onednn.runtime.library import Alg, Arg
from minicaffe.ops.activation import Activation


class Recipe(NamedTuple):
    """y = factor * function(scale x + shift).

    Attributes
    ----------
    function : Alg
    numbers : tuple of float
        The function's own two.
    gradient : Alg
        The same function, or the variant that computes the gradient from its result.
    gradient_numbers : tuple of float
    scale, shift, factor : float
    keeps_zero : bool
        Whether y is 0 where x is.
    """

    function: Alg
    gradient: Alg
    numbers: tuple[float, float]
    gradient_numbers: tuple[float, float]
    scale: float = 1.0
    shift: float = 0.0
    factor: float = 1.0
    keeps_zero: bool = True

    @property
    def has_inner(self) -> bool:
        """Whether the function is applied to something else than x."""
        return (self.scale, self.shift) != (1, 0)

    @property
    def reads_y(self) -> bool:
        """Whether y serves for the gradient, or any values, as for the linear function."""
        return self.gradient_reads == Arg.DST or self.gradient is Alg.ELTWISE_LINEAR

    @property
    def gradient_reads(self) -> Arg:
        """What the gradient's primitive calls the values it needs."""
        return Arg.SRC if self.gradient is self.function else Arg.DST


# kind: the function, and its gradient as a function of y where the contract has it so.
DIRECT = {
    "relu": (Alg.ELTWISE_RELU, Alg.ELTWISE_RELU_USE_DST),
    "elu": (Alg.ELTWISE_ELU, Alg.ELTWISE_ELU_USE_DST),
    "tanh": (Alg.ELTWISE_TANH, Alg.ELTWISE_TANH_USE_DST),
    "sigmoid": (Alg.ELTWISE_LOGISTIC, Alg.ELTWISE_LOGISTIC_USE_DST),
    "absval": (Alg.ELTWISE_ABS, Alg.ELTWISE_ABS),
    "swish": (Alg.ELTWISE_SWISH, Alg.ELTWISE_SWISH),
}
POWERS = {
    0.5: (Alg.ELTWISE_SQRT, Alg.ELTWISE_SQRT_USE_DST),
    2.0: (Alg.ELTWISE_SQUARE, Alg.ELTWISE_SQUARE),
}


def recipe_of(op: Activation) -> Recipe | None:
    """Return how oneDNN computes it; None where its functions bring nothing, or other numbers.

    Other powers are powf one by one, no faster than NumPy's. No function of oneDNN is a threshold.
    """
    if op.kind in DIRECT:
        function, gradient = DIRECT[op.kind]
        gradient = function if op.gradient_needs_x() else gradient
        numbers = (op.alpha, op.beta)
        return Recipe(function, gradient, numbers, numbers, keeps_zero=op.kind != "sigmoid")
    if op.kind == "clip":
        return _clip(op)
    if op.kind == "bnll":
        # y could serve for the gradient as well, but oneDNN's takes x.
        softplus, numbers = Alg.ELTWISE_SOFT_RELU, (1.0, 0.0)
        return Recipe(softplus, softplus, numbers, numbers, keeps_zero=False)
    if op.kind == "exp":
        return _inner(op, Alg.ELTWISE_EXP, Alg.ELTWISE_EXP_USE_DST)
    if op.kind == "log":
        return _inner(op, Alg.ELTWISE_LOG, Alg.ELTWISE_LOG)._replace(factor=op.alpha)
    if op.kind == "power" and op.alpha in POWERS:
        return _inner(op, *POWERS[op.alpha])
    if op.kind == "power" and op.alpha in (0, 1):
        numbers = (op.scale, op.shift) if op.alpha else (0.0, 1.0)
        linear = Alg.ELTWISE_LINEAR
        return Recipe(linear, linear, numbers, numbers, keeps_zero=not numbers[1])
    return None


def _inner(op: Activation, function: Alg, gradient: Alg) -> Recipe:
    none = (0.0, 0.0)
    return Recipe(function, gradient, none, none, op.scale, op.shift, keeps_zero=False)


def _clip(op: Activation) -> Recipe:
    # oneDNN lets the gradient pass where alpha < x <= beta, Caffe where x is alpha as well.
    below = float(np.nextafter(np.float32(op.alpha), np.float32(-np.inf)))
    clip, numbers = Alg.ELTWISE_CLIP, (op.alpha, op.beta)
    return Recipe(clip, clip, numbers, (below, op.beta), keeps_zero=op.alpha <= 0 <= op.beta)
