"""Functions of one number, applied everywhere: what every backend must compute.

Tensors in planning order: x, y of one shape; y may be x (in place).

===========  ======================================  ============================  ======
kind         y                                       dy/dx                         reads
===========  ======================================  ============================  ======
relu         x if x > 0 else alpha x                 1 if x > 0 else alpha         x or y
sigmoid      1 / (1 + exp(-x))                       y (1 - y)                     y
tanh         tanh x                                  1 - y^2                       y
===========  ======================================  ============================  ======

``reads`` says which of x and y the gradient needs. A function that needs x cannot run in place
while training, because x is gone then; relu can, as y > 0 exactly where x > 0 for alpha >= 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Activation(Op):
    """Describe an activation function; what alpha means depends on its kind."""

    kind: Literal["relu", "sigmoid", "tanh"]
    alpha: float = 0.0


class ActivationKernel(Protocol):
    """Forward and backward of one function."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""

    def backward(self, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx with dy * f'(x); dx may be dy itself."""
