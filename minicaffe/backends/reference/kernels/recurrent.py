"""Recurrent layers: one matrix product for all inputs, then a loop over time steps.

What a step costs apart from the loop is done for all steps at once: the inputs' share before it,
the gradients of inputs and parameters behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.lstm import Lstm, LstmUnit
from minicaffe.ops.recurrent import RecurrentInputs
from minicaffe.ops.rnn import Rnn


class Gates(NamedTuple):
    """What one LSTM step keeps for its backward pass, each (N, D)."""

    i: Array
    f: Array
    o: Array
    g: Array
    tanh_c: Array


def lstm_forward(xp: Any, c0: Array, a: Array, cont: Array) -> tuple[Array, Array, Gates]:
    """Return c, h and what `lstm_backward` needs; c0 (N, D), a (N, 4 D), cont (N, 1)."""
    size = c0.shape[1]
    i, f, o = (sigmoid(xp, a[:, k * size : (k + 1) * size]) for k in range(3))
    f *= cont
    g = xp.tanh(a[:, 3 * size :])
    c = f * c0 + i * g
    tanh_c = xp.tanh(c)
    return c, o * tanh_c, Gates(i, f, o, g, tanh_c)


def lstm_backward(xp: Any, c0: Array, gates: Gates, dc: Array, dh: Array, da: Array) -> Array:
    """Overwrite da, (N, 4 D), and return the gradient of c0."""
    i, f, o, g, tanh_c = gates
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    quarters = (dc * g * i * (1 - i), dc * c0 * f * (1 - f), dh * tanh_c * o * (1 - o))
    da[...] = xp.concatenate([*quarters, dc * i * (1 - g * g)], axis=1)
    return dc * f


def sigmoid(xp: Any, x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), which never overflows written with tanh."""
    return 0.5 * xp.tanh(0.5 * x) + 0.5


class _Recurrent(ReferenceKernel[Lstm | Rnn]):
    """What LSTM and RNN share: the products before and behind the loop.

    The parameters begin with w_x, b and, with static, w_s; w_h follows.
    """

    def _weights(self, inputs: RecurrentInputs) -> list[Array]:
        return [w.read() for w in inputs.params if w is not None]

    def _recurrent_index(self) -> int:
        return 3 if self.op.static else 2

    def _driven(self, inputs: RecurrentInputs, weights: Sequence[Array]) -> Array:
        """Return the share of inputs and bias, (T, N, rows)."""
        x = _read(inputs.x)
        steps, streams = x.shape[:2]
        a = x.reshape(steps * streams, -1) @ weights[0].T
        a += weights[1]
        a = a.reshape(steps, streams, -1)
        if self.op.static:
            a += _read(inputs.static).reshape(streams, -1) @ weights[2].T
        return a

    def _states(self, tensors: Sequence[Tensor | None], streams: int) -> list[Array]:
        """Return copies of states as (N, D): the end may be written to the same tensors."""
        return [_read(tensor).reshape(streams, -1).copy() for tensor in tensors]

    def _end_gradients(self, dend: Sequence[Tensor | None], like: Array) -> list[Array]:
        return [
            self.xp.zeros_like(like) if d is None else d.read().reshape(like.shape).copy()
            for d in dend
        ]

    def _spread(self, da: Array, inputs: RecurrentInputs, gradients: RecurrentInputs) -> None:
        """From the gradient of a, (T, N, rows), give that of inputs and their parameters."""
        steps, streams, rows = da.shape
        flat = da.reshape(steps * streams, rows)
        weights = self._weights(inputs)
        _add(gradients.params[0], lambda: flat.T @ _read(inputs.x).reshape(len(flat), -1))
        _add(gradients.params[1], lambda: flat.sum(0))
        if gradients.x is not None:
            gradients.x.write().reshape(len(flat), -1)[...] = flat @ weights[0]
        if self.op.static:
            total = da.sum(0)
            static = _read(inputs.static).reshape(streams, -1)
            _add(gradients.params[2], lambda: total.T @ static)
            if gradients.static is not None:
                gradients.static.write().reshape(streams, -1)[...] = total @ weights[2]


@kernel(Lstm)
class ReferenceLstm(_Recurrent):
    """LSTM."""

    def forward(
        self, inputs: RecurrentInputs, cont: Tensor, y: Tensor, end: Sequence[Tensor]
    ) -> None:
        """Overwrite y and end."""
        xp, out = self.xp, y.write()
        steps, streams, _ = out.shape
        weights = self._weights(inputs)
        a, w_h = self._driven(inputs, weights), weights[self._recurrent_index()]
        h, c = self._states(inputs.start, streams)
        self.cont = cont.read().copy()[:, :, None]
        self.h_before, self.c_before = xp.empty_like(out), xp.empty_like(out)
        self.gates: list[Gates] = []
        for t in range(steps):
            self.h_before[t], self.c_before[t] = h * self.cont[t], c
            a[t] += self.h_before[t] @ w_h.T
            c, h, gates = lstm_forward(xp, c, a[t], self.cont[t])
            self.gates.append(gates)
            out[t] = h
        for tensor, state in zip(end, (h, c), strict=True):
            tensor.write()[...] = state.reshape(tensor.shape)

    def backward(
        self,
        inputs: RecurrentInputs,
        dy: Tensor,
        dend: Sequence[Tensor | None],
        gradients: RecurrentInputs,
    ) -> None:
        """Overwrite the gradients of data and states, add to those of the parameters."""
        xp, given = self.xp, dy.read()
        steps, _, size = given.shape
        index = self._recurrent_index()
        w_h = self._weights(inputs)[index]
        dh, dc = self._end_gradients(dend, given[0])
        da = xp.empty((*given.shape[:2], 4 * size), given.dtype)
        for t in reversed(range(steps)):
            dc = lstm_backward(xp, self.c_before[t], self.gates[t], dc, dh + given[t], da[t])
            dh = (da[t] @ w_h) * self.cont[t]
        self._spread(da, inputs, gradients)
        flat, before = da.reshape(-1, 4 * size), self.h_before.reshape(-1, size)
        _add(gradients.params[index], lambda: flat.T @ before)
        _write_states(gradients.start, (dh, dc))


@kernel(Rnn)
class ReferenceRnn(_Recurrent):
    """Plain recurrent net."""

    def forward(
        self, inputs: RecurrentInputs, cont: Tensor, y: Tensor, end: Sequence[Tensor]
    ) -> None:
        """Overwrite y and end."""
        xp, out = self.xp, y.write()
        steps, streams, size = out.shape
        weights = self._weights(inputs)
        w_h, w_o, b_o = weights[self._recurrent_index() :]
        a = self._driven(inputs, weights)
        (h,) = self._states(inputs.start, streams)
        self.cont = cont.read().copy()[:, :, None]
        self.h_before, self.h = xp.empty_like(out), xp.empty_like(out)
        for t in range(steps):
            self.h_before[t] = h * self.cont[t]
            h = xp.tanh(a[t] + self.h_before[t] @ w_h.T)
            self.h[t] = h
        out[...] = xp.tanh(self.h.reshape(-1, size) @ w_o.T + b_o).reshape(out.shape)
        self.y = out.copy()
        end[0].write()[...] = h.reshape(end[0].shape)

    def backward(
        self,
        inputs: RecurrentInputs,
        dy: Tensor,
        dend: Sequence[Tensor | None],
        gradients: RecurrentInputs,
    ) -> None:
        """Overwrite the gradients of data and states, add to those of the parameters."""
        given = dy.read()
        steps, _, size = given.shape
        index = self._recurrent_index()
        w_h, w_o, _ = self._weights(inputs)[index:]
        dout = (given * (1 - self.y * self.y)).reshape(-1, size)
        _add(gradients.params[index + 1], lambda: dout.T @ self.h.reshape(-1, size))
        _add(gradients.params[index + 2], lambda: dout.sum(0))
        da = (dout @ w_o).reshape(given.shape)
        (dh,) = self._end_gradients(dend, given[0])
        for t in reversed(range(steps)):
            da[t] = (da[t] + dh) * (1 - self.h[t] * self.h[t])
            dh = (da[t] @ w_h) * self.cont[t]
        self._spread(da, inputs, gradients)
        flat, before = da.reshape(-1, size), self.h_before.reshape(-1, size)
        _add(gradients.params[index], lambda: flat.T @ before)
        _write_states(gradients.start, (dh,))


@kernel(LstmUnit)
class ReferenceLstmUnit(ReferenceKernel[LstmUnit]):
    """One step of an LSTM."""

    def forward(self, c0: Tensor, a: Tensor, cont: Tensor, c: Tensor, h: Tensor) -> None:
        """Overwrite c and h."""
        going_on = cont.read()[0][:, None]
        cell, hidden, self.gates = lstm_forward(self.xp, c0.read()[0], a.read()[0], going_on)
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


def _add(gradient: Tensor | None, value: Any) -> None:
    """Add what `value` returns, if it is wanted."""
    if gradient is not None:
        gradient.update()[...] += value()


def _write_states(tensors: Sequence[Tensor | None], states: Sequence[Array]) -> None:
    for tensor, state in zip(tensors, states, strict=True):
        if tensor is not None:
            tensor.write()[...] = state.reshape(tensor.shape)
