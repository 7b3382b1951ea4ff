"""Functions of one number, applied everywhere: what every backend must compute.

Tensors in planning order: x, y of one shape; y may be x (in place). With s = scale x + shift:

=========  ===============================  ===============================  ================
kind       y                                dy/dx                            reads
=========  ===============================  ===============================  ================
relu       x if x > 0 else alpha x          1 if x > 0 else alpha            y, or x if alpha < 0
elu        x if x > 0 else alpha (e^x - 1)  1 if x > 0 else alpha + y        y, and x if alpha < 0
sigmoid    1 / (1 + exp(-x))                y (1 - y)                        y
tanh       tanh x                           1 - y^2                          y
exp        exp s                            scale y                          y
bnll       log(1 + exp x)                   1 - exp(-y)                      y
absval     abs x                            sign x                           x
clip       x limited to alpha .. beta       1 if alpha <= x <= beta else 0   x
log        alpha log s                      alpha scale / s                  x
power      s^alpha                          alpha scale s^(alpha - 1)        x
swish      x sigmoid(alpha x)               alpha y + (1 - alpha y)          x, y
                                            sigmoid(alpha x)
threshold  1 if x > alpha else 0            none: backward is not called
=========  ===============================  ===============================  ================

``reads`` says what the gradient needs. A kernel that is planned in place and whose gradient needs x
keeps a copy of it, because backward finds y in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Activation(Op["ActivationKernel"]):
    """Describe an activation function; what its numbers mean depends on its kind."""

    kind: Literal[
        "relu",
        "elu",
        "sigmoid",
        "tanh",
        "exp",
        "bnll",
        "absval",
        "clip",
        "log",
        "power",
        "swish",
        "threshold",
    ]
    alpha: float = 0.0
    beta: float = 0.0
    scale: float = 1.0
    shift: float = 0.0

    def gradient_needs_x(self) -> bool:
        """Return whether y alone does not determine the gradient."""
        if self.kind in ("relu", "elu"):
            return self.alpha < 0
        return self.kind in ("absval", "clip", "log", "power", "swish")


class ActivationKernel(Protocol):
    """Forward and backward of one function."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""

    def backward(self, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx with dy * f'(x); dx may be dy itself."""
