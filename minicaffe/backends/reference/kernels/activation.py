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


def sigmoid(xp: Any, x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), by way of tanh, which does not overflow."""
    return 0.5 * xp.tanh(0.5 * x) + 0.5


def _power_slope(xp: Any, x: Array, y: Array, op: Activation) -> Array:
    factor = op.alpha * op.scale
    # 0 to a negative power must not turn a gradient of 0 into nan.
    if factor == 0:
        return xp.zeros_like(x)
    return factor * (op.scale * x + op.shift) ** (op.alpha - 1)


FUNCTIONS: dict[str, tuple[Forward, Slope]] = {
    "relu": (
        lambda xp, x, op: xp.maximum(x, 0) + op.alpha * xp.minimum(x, 0),
        lambda xp, x, y, op: xp.where(x > 0, 1, op.alpha).astype(y.dtype),
    ),
    "elu": (
        lambda xp, x, op: xp.maximum(x, 0) + op.alpha * xp.expm1(xp.minimum(x, 0)),
        lambda xp, x, y, op: xp.where(x > 0, 1, op.alpha + y),
    ),
    "sigmoid": (
        lambda xp, x, op: sigmoid(xp, x),
        lambda xp, x, y, op: y * (1 - y),
    ),
    "tanh": (
        lambda xp, x, op: xp.tanh(x),
        lambda xp, x, y, op: 1 - y * y,
    ),
    "exp": (
        lambda xp, x, op: xp.exp(op.scale * x + op.shift),
        lambda xp, x, y, op: op.scale * y,
    ),
    "bnll": (
        lambda xp, x, op: xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x))),
        lambda xp, x, y, op: -xp.expm1(-y),
    ),
    "absval": (
        lambda xp, x, op: xp.abs(x),
        lambda xp, x, y, op: xp.sign(x),
    ),
    "clip": (
        lambda xp, x, op: xp.clip(x, op.alpha, op.beta),
        lambda xp, x, y, op: (x >= op.alpha) & (x <= op.beta),
    ),
    "log": (
        lambda xp, x, op: op.alpha * xp.log(op.scale * x + op.shift),
        lambda xp, x, y, op: op.alpha * op.scale / (op.scale * x + op.shift),
    ),
    "power": (
        lambda xp, x, op: (op.scale * x + op.shift) ** op.alpha,
        _power_slope,
    ),
    "swish": (
        lambda xp, x, op: x * sigmoid(xp, op.alpha * x),
        lambda xp, x, y, op: op.alpha * y + sigmoid(xp, op.alpha * x) * (1 - op.alpha * y),
    ),
    "threshold": (
        lambda xp, x, op: x > op.alpha,
        lambda xp, x, y, op: xp.zeros_like(x),
    ),
}


@kernel(Activation)
class ReferenceActivation(ReferenceKernel[Activation]):
    """One row of the table; in place it keeps x where the gradient needs it."""

    def __init__(self, backend: ReferenceBackend, op: Activation, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._forward, self._slope = FUNCTIONS[op.kind]
        x, y = tensors
        keeps_x = x is y and op.gradient_needs_x()
        self._kept: Any = self.xp.empty(x.shape, backend.dtype) if keeps_x else None

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values = x.read()
        if self._kept is not None:
            self._kept[...] = values
        y.write()[...] = self._forward(self.xp, values, self.op)

    def backward(self, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        values = x.read() if self._kept is None else self._kept
        slope = self._slope(self.xp, values, y.read(), self.op)
        self.xp.multiply(dy.read(), slope, out=dx.write())
