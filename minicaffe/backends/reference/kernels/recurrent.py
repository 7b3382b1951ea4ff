"""LSTM and RNN: one matrix product for the inputs of all time steps, then a loop over the steps.

The products of the inputs are computed before the loop for all steps at once, the gradients of
inputs and parameters after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.activation import sigmoid
from minicaffe.ops.backend import Array, ArrayModule, Tensor
from minicaffe.ops.lstm import Lstm, LstmUnit
from minicaffe.ops.recurrent import RecurrentInputs
from minicaffe.ops.rnn import Rnn

Arrays: TypeAlias = Sequence[Array]
Tensors: TypeAlias = Sequence[Tensor | None]


class Gates(NamedTuple):
    """Values of one LSTM step that are saved for backward, each (N, D)."""

    i: Array
    f: Array
    o: Array
    g: Array
    tanh_c: Array


def lstm_forward(xp: ArrayModule, c0: Array, a: Array, cont: Array) -> tuple[Array, Array, Gates]:
    """Return c, h and the gates for `lstm_backward`; c0 (N, D), a (N, 4 D), cont (N, 1)."""
    size = c0.shape[1]
    i, f, o = (sigmoid(xp, a[:, k * size : (k + 1) * size]) for k in range(3))
    f *= cont
    g = xp.tanh(a[:, 3 * size :])
    c = f * c0 + i * g
    tanh_c = xp.tanh(c)
    return c, o * tanh_c, Gates(i, f, o, g, tanh_c)


def lstm_backward(
    xp: ArrayModule, c0: Array, gates: Gates, dc: Array, dh: Array, da: Array
) -> Array:
    """Overwrite da, (N, 4 D), and return the gradient of c0."""
    i, f, o, g, tanh_c = gates
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    quarters = (dc * g * i * (1 - i), dc * c0 * f * (1 - f), dh * tanh_c * o * (1 - o))
    da[...] = xp.concatenate([*quarters, dc * i * (1 - g * g)], axis=1)
    return dc * f


class _Recurrent(ReferenceKernel[Lstm | Rnn]):
    """Base of LSTM and RNN: everything but the loop over time steps.

    The parameters begin with w_x, b and, with static, w_s; w_h and those of the subclass follow.
    """

    def _run(self, a: Array, weights: Arrays, states: Arrays, y: Array) -> Arrays:
        """Overwrite y and `h_before`, and return the states after the last step.

        `a` are the products of the inputs, (T, N, rows), `weights` w_h and the parameters after it.
        """
        raise NotImplementedError

    def _run_backward(
        self, dy: Array, weights: Arrays, dstates: Arrays, gradients: Tensors
    ) -> tuple[Array, Arrays]:
        """Return the gradients of a and of the states before the first step.

        Adds the gradients of the parameters after w_h to `gradients`.
        """
        raise NotImplementedError

    def forward(
        self, inputs: RecurrentInputs, cont: Tensor, y: Tensor, end: Sequence[Tensor]
    ) -> None:
        """Overwrite y and end."""
        out = y.write()
        weights = self._weights(inputs)
        # Copies, because the end may be written to the same tensors.
        states = [_read(tensor).reshape(out.shape[1:]).copy() for tensor in inputs.start]
        self.cont = cont.read().copy()[:, :, None]
        self.h_before = self.xp.empty_like(out)
        after = weights[self._recurrent_index() :]
        _write_states(end, self._run(self._input_products(inputs, weights), after, states, out))

    def backward(
        self, inputs: RecurrentInputs, dy: Tensor, dend: Tensors, gradients: RecurrentInputs
    ) -> None:
        """Overwrite the gradients of data and states, add to those of the parameters."""
        values = dy.read()
        first = self._recurrent_index()
        dstates = [
            self.xp.zeros_like(values[0]) if d is None else d.read().reshape(values[0].shape).copy()
            for d in dend
        ]
        weights = self._weights(inputs)
        da, dstart = self._run_backward(
            values, weights[first:], dstates, gradients.params[first + 1 :]
        )
        self._backward_inputs(da, inputs, gradients)
        flat, before = _matrix(da, 2), _matrix(self.h_before, 2)
        _add(gradients.params[first], lambda: flat.T @ before)
        _write_states(gradients.start, dstart)

    def _weights(self, inputs: RecurrentInputs) -> list[Array]:
        return [w.read() for w in inputs.params if w is not None]

    def _recurrent_index(self) -> int:
        return 3 if self.op.static else 2

    def _input_products(self, inputs: RecurrentInputs, weights: Arrays) -> Array:
        """Return w_x x + b + w_s static for all steps, (T, N, rows)."""
        x = _read(inputs.x)
        steps, streams = x.shape[:2]
        a = _matrix(x, 2) @ weights[0].T
        a += weights[1]
        a = a.reshape(steps, streams, len(weights[0]))
        if self.op.static:
            a += _matrix(_read(inputs.static), 1) @ weights[2].T
        return a

    def _backward_inputs(
        self, da: Array, inputs: RecurrentInputs, gradients: RecurrentInputs
    ) -> None:
        """Propagate the gradient of a, (T, N, rows), to the inputs and their parameters."""
        steps, streams, rows = da.shape
        flat = da.reshape(steps * streams, rows)
        weights = self._weights(inputs)
        _add(gradients.params[0], lambda: flat.T @ _matrix(_read(inputs.x), 2))
        _add(gradients.params[1], lambda: flat.sum(0))
        if gradients.x is not None:
            _matrix(gradients.x.write(), 2)[...] = flat @ weights[0]
        if self.op.static:
            total = da.sum(0)
            static = _matrix(_read(inputs.static), 1)
            _add(gradients.params[2], lambda: total.T @ static)
            if gradients.static is not None:
                _matrix(gradients.static.write(), 1)[...] = total @ weights[2]


@kernel(Lstm)
class ReferenceLstm(_Recurrent):
    """LSTM."""

    def _run(self, a: Array, weights: Arrays, states: Arrays, y: Array) -> Arrays:
        (w_h,), (h, c) = weights, states
        self.c_before = self.xp.empty_like(y)
        self.gates: list[Gates] = []
        for t in range(len(y)):
            self.h_before[t], self.c_before[t] = h * self.cont[t], c
            a[t] += self.h_before[t] @ w_h.T
            c, h, gates = lstm_forward(self.xp, c, a[t], self.cont[t])
            self.gates.append(gates)
            y[t] = h
        return h, c

    def _run_backward(
        self, dy: Array, weights: Arrays, dstates: Arrays, gradients: Tensors
    ) -> tuple[Array, Arrays]:
        (w_h,), (dh, dc) = weights, dstates
        da = self.xp.empty((*dy.shape[:2], 4 * dy.shape[2]), dy.dtype)
        for t in reversed(range(len(dy))):
            before, gates = self.c_before[t], self.gates[t]
            dc = lstm_backward(self.xp, before, gates, dc, dh + dy[t], da[t])
            dh = (da[t] @ w_h) * self.cont[t]
        return da, (dh, dc)


@kernel(Rnn)
class ReferenceRnn(_Recurrent):
    """Plain recurrent net."""

    def _run(self, a: Array, weights: Arrays, states: Arrays, y: Array) -> Arrays:
        (w_h, w_o, b_o), (h,) = weights, states
        xp, size = self.xp, y.shape[-1]
        self.h = xp.empty_like(y)
        for t in range(len(y)):
            self.h_before[t] = h * self.cont[t]
            h = xp.tanh(a[t] + self.h_before[t] @ w_h.T)
            self.h[t] = h
        y[...] = xp.tanh(self.h.reshape(-1, size) @ w_o.T + b_o).reshape(y.shape)
        self.y = y.copy()
        return (h,)

    def _run_backward(
        self, dy: Array, weights: Arrays, dstates: Arrays, gradients: Tensors
    ) -> tuple[Array, Arrays]:
        (w_h, w_o, _), (dh,) = weights, dstates
        size = dy.shape[-1]
        dout = (dy * (1 - self.y * self.y)).reshape(-1, size)
        _add(gradients[0], lambda: dout.T @ self.h.reshape(-1, size))
        _add(gradients[1], lambda: dout.sum(0))
        da = (dout @ w_o).reshape(dy.shape)
        for t in reversed(range(len(dy))):
            da[t] = (da[t] + dh) * (1 - self.h[t] * self.h[t])
            dh = (da[t] @ w_h) * self.cont[t]
        return da, (dh,)


@kernel(LstmUnit)
class ReferenceLstmUnit(ReferenceKernel[LstmUnit]):
    """One step of an LSTM."""

    def forward(self, c0: Tensor, a: Tensor, cont: Tensor, c: Tensor, h: Tensor) -> None:
        """Overwrite c and h."""
        continues = cont.read()[0][:, None]
        cell, hidden, self.gates = lstm_forward(self.xp, c0.read()[0], a.read()[0], continues)
        c.write()[...], h.write()[...] = cell, hidden

    def backward(
        self, c0: Tensor, dc: Tensor, dh: Tensor, dc0: Tensor | None, da: Tensor | None
    ) -> None:
        """Overwrite dc0 and da."""
        before = c0.read()[0]
        size = before.shape[1]
        da_all = self.xp.empty((len(before), 4 * size), before.dtype)
        dc_before = lstm_backward(self.xp, before, self.gates, dc.read()[0], dh.read()[0], da_all)
        if dc0 is not None:
            dc0.write()[...] = dc_before
        if da is not None:
            da.write()[...] = da_all


def _read(tensor: Tensor | None) -> Array:
    if tensor is None:
        raise ValueError("an input of a recurrent kernel is missing")
    return tensor.read()


def _matrix(values: Array, n_axes: int) -> Array:
    """Return a view with one axis for the first `n_axes` and one for the others."""
    rows, columns = values.shape[:n_axes], values.shape[n_axes:]
    return values.reshape(math.prod(rows), math.prod(columns))


def _add(gradient: Tensor | None, value: Callable[[], Array]) -> None:
    """Add the result of `value` to a gradient, if it is needed."""
    if gradient is not None:
        gradient.update()[...] += value()


def _write_states(tensors: Tensors, states: Arrays) -> None:
    for tensor, state in zip(tensors, states, strict=True):
        if tensor is not None:
            tensor.write()[...] = state.reshape(tensor.shape)
