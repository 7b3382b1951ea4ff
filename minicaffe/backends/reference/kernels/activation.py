"""Elementwise activation functions: a line for the value and a line for the derivative each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops import activation as ops
from minicaffe.ops.activation import Activation
from minicaffe.ops.backend import Array, ArrayModule, Tensor

# value(xp, x, op) -> y and derivative(xp, x, y, op) -> dy/dx, which reads what the contract allows.
# The op is Any, because each row of the table takes the op type that is its key.
Value: TypeAlias = Callable[[ArrayModule, Array, Any], Array]
Derivative: TypeAlias = Callable[[ArrayModule, Array, Array, Any], Array]


def sigmoid(xp: ArrayModule, x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), computed from tanh, which does not overflow."""
    return 0.5 * xp.tanh(0.5 * x) + 0.5


def sign(xp: ArrayModule, x: Array) -> Array:
    """Return -1, 0 or 1; 0 for NaN, as in Caffe."""
    return (x > 0).astype(x.dtype) - (x < 0)


def _power(xp: ArrayModule, x: Array, op: ops.Power) -> Array:
    # Without influence of x, Caffe does not read it: the value is finite also where x is not.
    if op.power * op.scale == 0:
        x = xp.zeros_like(x)
    return (op.scale * x + op.shift) ** op.power


def _power_derivative(xp: ArrayModule, x: Array, y: Array, op: ops.Power) -> Array:
    factor = op.power * op.scale
    # 0 to a negative power must not turn a gradient of 0 into nan.
    if factor == 0:
        return xp.zeros_like(x)
    return factor * (op.scale * x + op.shift) ** (op.power - 1)


def _elu_derivative(xp: ArrayModule, x: Array, y: Array, op: ops.Elu) -> Array:
    if op.alpha < 0:
        return xp.where(x > 0, 1, op.alpha * xp.exp(xp.minimum(x, 0)))
    return xp.where(y > 0, 1, op.alpha + y)


def _swish_derivative(xp: ArrayModule, x: Array, y: Array, op: ops.Swish) -> Array:
    s = sigmoid(xp, op.beta * x)
    return s + op.beta * x * s * (1 - s)


def _relu6_derivative(xp: ArrayModule, x: Array, y: Array, op: ops.Relu6) -> Array:
    if op.slope < 0:
        slopes = xp.where(x > 0, 1, op.slope).astype(x.dtype)
        return slopes * (slopes * x < 6)
    return xp.where(y > 0, 1, op.slope).astype(y.dtype) * (y < 6)


def _selu_derivative(xp: ArrayModule, x: Array, y: Array, op: ops.Selu) -> Array:
    product = op.scale * op.alpha
    if op.gradient_needs_x():
        return xp.where(x > 0, op.scale, product * xp.exp(xp.minimum(x, 0)))
    return xp.where(y > 0, op.scale, product + y)


def _softplus_tanh(xp: ArrayModule, x: Array) -> Array:
    """Return tanh(log(1 + exp(x)))."""
    return xp.tanh(xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x))))


def _mish_derivative(xp: ArrayModule, x: Array, y: Array, op: ops.Mish) -> Array:
    t = _softplus_tanh(xp, x)
    return t + x * sigmoid(xp, x) * (1 - t * t)


FUNCTIONS: dict[type[Activation], tuple[Value, Derivative]] = {
    ops.Relu: (
        lambda xp, x, op: xp.maximum(x, 0) + op.slope * xp.minimum(x, 0),
        lambda xp, x, y, op: xp.where((x if op.slope < 0 else y) > 0, 1, op.slope).astype(y.dtype),
    ),
    ops.Elu: (
        lambda xp, x, op: xp.maximum(x, 0) + op.alpha * xp.expm1(xp.minimum(x, 0)),
        _elu_derivative,
    ),
    ops.Sigmoid: (
        lambda xp, x, op: sigmoid(xp, x),
        lambda xp, x, y, op: y * (1 - y),
    ),
    ops.Tanh: (
        lambda xp, x, op: xp.tanh(x),
        lambda xp, x, y, op: 1 - y * y,
    ),
    ops.Exp: (
        lambda xp, x, op: xp.exp(op.scale * x + op.shift),
        lambda xp, x, y, op: op.scale * y,
    ),
    ops.Bnll: (
        lambda xp, x, op: xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x))),
        lambda xp, x, y, op: sigmoid(xp, x),
    ),
    ops.Abs: (
        lambda xp, x, op: xp.abs(x),
        lambda xp, x, y, op: sign(xp, x),
    ),
    ops.Clip: (
        lambda xp, x, op: xp.clip(x, op.low, op.high),
        lambda xp, x, y, op: (x >= op.low) & (x <= op.high),
    ),
    ops.Log: (
        lambda xp, x, op: op.factor * xp.log(op.scale * x + op.shift),
        lambda xp, x, y, op: op.factor * op.scale / (op.scale * x + op.shift),
    ),
    ops.Power: (
        _power,
        _power_derivative,
    ),
    ops.Swish: (
        lambda xp, x, op: x * sigmoid(xp, op.beta * x),
        _swish_derivative,
    ),
    ops.Threshold: (
        lambda xp, x, op: x > op.threshold,
        lambda xp, x, y, op: xp.zeros_like(x),
    ),
    ops.NegativeRelu: (
        lambda xp, x, op: xp.minimum(x, 0) + op.slope * xp.maximum(x, 0),
        lambda xp, x, y, op: xp.where(x < 0, 1, op.slope).astype(y.dtype),
    ),
    ops.Relu6: (
        lambda xp, x, op: xp.minimum(xp.maximum(x, 0) + op.slope * xp.minimum(x, 0), 6),
        _relu6_derivative,
    ),
    ops.HardSigmoid: (
        lambda xp, x, op: xp.clip(op.scale * x + op.shift, 0, 1),
        lambda xp, x, y, op: op.scale * (xp.abs(op.scale * x + (op.shift - 0.5)) < 0.5),
    ),
    ops.Selu: (
        lambda xp, x, op: op.scale * (xp.maximum(x, 0) + op.alpha * xp.expm1(xp.minimum(x, 0))),
        _selu_derivative,
    ),
    ops.Mish: (
        lambda xp, x, op: x * _softplus_tanh(xp, x),
        _mish_derivative,
    ),
}


@kernel(*FUNCTIONS)
class ReferenceActivation(ReferenceKernel[Activation]):
    """Apply one row of the table; in place, save a copy of x where the gradient needs it."""

    def __init__(self, backend: ReferenceBackend, op: Activation, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._value, self._derivative = FUNCTIONS[type(op)]
        x, y = tensors
        saves_x = x is y and op.gradient_needs_x()
        self._saved: Array = self.xp.empty(x.shape, backend.dtype) if saves_x else None

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values = x.read()
        if self._saved is not None:
            self._saved[...] = values
        y.write()[...] = self._value(self.xp, values, self.op)

    def backward(self, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        values = x.read() if self._saved is None else self._saved
        derivative = self._derivative(self.xp, values, y.read(), self.op)
        self.xp.multiply(dy.read(), derivative, out=dx.write())
