"""Functions of one number: a line forward and a line backward each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.activation import Activation
from minicaffe.ops.backend import Array, Tensor

# forward(xp, x, op) -> y;  slope(xp, x, y, op) -> dy/dx, reading what the contract allows.
Forward = Callable[[Any, Array, Activation], Array]
Slope = Callable[[Any, Array, Array, Activation], Array]

FUNCTIONS: dict[str, tuple[Forward, Slope]] = {
    "relu": (
        lambda xp, x, op: xp.maximum(x, 0) + op.alpha * xp.minimum(x, 0),
        lambda xp, x, y, op: xp.where(x > 0, 1, op.alpha).astype(y.dtype),
    ),
    # 1 / (1 + exp(-x)) without overflow, as tanh does not overflow.
    "sigmoid": (
        lambda xp, x, op: 0.5 * xp.tanh(0.5 * x) + 0.5,
        lambda xp, x, y, op: y * (1 - y),
    ),
    "tanh": (
        lambda xp, x, op: xp.tanh(x),
        lambda xp, x, y, op: 1 - y * y,
    ),
}


@kernel(Activation)
class ReferenceActivation(ReferenceKernel):
    """One row of the table."""

    def __init__(self, backend: ReferenceBackend, op: Activation, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._forward, self._slope = FUNCTIONS[op.kind]

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        y.write()[...] = self._forward(self.xp, x.read(), self.op)

    def backward(self, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        slope = self._slope(self.xp, x.read(), y.read(), self.op)
        self.xp.multiply(dy.read(), slope, out=dx.write())
