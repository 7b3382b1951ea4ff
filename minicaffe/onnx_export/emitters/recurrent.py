"""Recurrent nets, unrolled along the time steps; an LSTM without resets is one node.

The state before the first step is that of a new run: minicaffe's layer keeps it from batch to
batch, a graph does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minicaffe.onnx_export.backend import Emitter, OpT, emitter
from minicaffe.onnx_export.drawn_inputs import WholeNumbers
from minicaffe.ops.backend import Tensor
from minicaffe.ops.lstm import Lstm, LstmUnit
from minicaffe.ops.recurrent import RecurrentInputs
from minicaffe.ops.rnn import Rnn


def _given(tensors: Iterable[Tensor | None]) -> list[Tensor]:
    """Return the tensors of a forward pass, where none is missing as gradients may be."""
    return [tensor for tensor in tensors if tensor is not None]


class _Recurrent(Emitter[OpT]):
    def _contributions(self, inputs: RecurrentInputs, is_static: bool) -> str:
        """Return w_x x + b, plus w_s static, for all time steps: (T, N, ...)."""
        graph, (x,), params = self.graph, _given([inputs.x]), _given(inputs.params)
        steps, streams = x.shape[:2]
        weights, bias = map(self.read, params[:2])
        flat = self.read(x, (steps * streams, math.prod(x.shape[2:])))
        product = graph.one("Gemm", flat, weights, bias, transB=1)
        result = graph.reshape(product, (steps, streams, params[1].shape[0]))
        if is_static:
            (static,) = _given([inputs.static])
            flat = self.read(static, (streams, math.prod(static.shape[1:])))
            extra = graph.one("Gemm", flat, self.read(params[2]), transB=1)
            result = graph.one("Add", result, extra)
        return result

    def _steps(self, value: str, n: int) -> list[str]:
        """Return the parts of a value along its first axis, which they keep."""
        return self.graph.split(value, [1] * n, 0) if n > 1 else [value]

    def _transposed(self, weights: Tensor) -> str:
        """Return constant weights as the right-hand side of a product."""
        array = self.constant_values(weights, "its weights")
        return self.graph.constant(np.ascontiguousarray(array.T))

    def _is_zero(self, state: Tensor) -> bool:
        """Return whether a state is constant and 0."""
        return self.is_host_value(state) and not state.read().any()

    def _never_resets(self, cont: Tensor) -> bool:
        """Return whether cont is constant, and 1 after the first step."""
        return self.is_host_value(cont) and bool((cont.read()[1:] == 1).all())

    def _continuations(self, cont: Tensor) -> list[str]:
        """Return cont for each time step: (1, N, 1), or (1, 1, 1) if it is one for all streams."""
        if self.is_host_value(cont) and (cont.read() == cont.read()[:, :1]).all():
            return [self.graph.reals([[[go]]]) for go in cont.read()[:, 0]]
        name = self.read(cont)
        self.graph.expect(name, WholeNumbers(2))
        return self._steps(self.read(cont, (*cont.shape, 1)), cont.shape[0])

    def _start(self, inputs: RecurrentInputs, size: int) -> list[str]:
        """Return the states before the first step: (1, N, D), or zeros (1, 1, D)."""
        (x,) = _given([inputs.x])
        return [
            self.graph.reals(np.zeros((1, 1, size)))
            if self._is_zero(state)
            else self.read(state, (1, x.shape[1], size))
            for state in _given(inputs.start)
        ]

    def _finish(self, y: Tensor, hidden: list[str], end: Any, states: list[str]) -> None:
        """Write all outputs; `end` are the states after the last step."""
        joined = self.graph.one("Concat", *hidden, axis=0)
        self.write(y, joined)
        for tensor, state in zip(end, states, strict=True):
            self.write(tensor, state, (1, *y.shape[1:]))


@emitter(Rnn)
class RnnEmitter(_Recurrent[Rnn]):
    """A few nodes for each time step."""

    def forward(self, inputs: RecurrentInputs, cont: Tensor, y: Tensor, end: list[Tensor]) -> None:
        """Overwrite y and the states."""
        graph, (w_h, w_o, b_o) = self.graph, _given(inputs.params)[-3:]
        parts = self._steps(self._contributions(inputs, self.op.static), cont.shape[0])
        states, (h,) = [], self._start(inputs, y.shape[2])
        weights, out, bias = self._transposed(w_h), self._transposed(w_o), self.read(b_o)
        for part, go in zip(parts, self._continuations(cont), strict=True):
            product = graph.one("MatMul", graph.one("Mul", h, go), weights)
            h = graph.one("Tanh", graph.one("Add", part, product))
            states.append(graph.one("Tanh", graph.one("Add", graph.one("MatMul", h, out), bias)))
        self._finish(y, states, end, [h])


@emitter(Lstm)
class LstmEmitter(_Recurrent[Lstm]):
    """One LSTM node, or a few nodes for each time step."""

    def forward(self, inputs: RecurrentInputs, cont: Tensor, y: Tensor, end: list[Tensor]) -> None:
        """Overwrite y and the states."""
        if not self.op.static and self._never_resets(cont):
            self._as_node(inputs, cont, y, end)
            return
        graph, size = self.graph, y.shape[2]
        parts = self._steps(self._contributions(inputs, self.op.static), cont.shape[0])
        hidden, (h, c) = [], self._start(inputs, size)
        weights = self._transposed(_given(inputs.params)[-1])
        for part, go in zip(parts, self._continuations(cont), strict=True):
            product = graph.one("MatMul", graph.one("Mul", h, go), weights)
            gates = graph.one("Add", part, product)
            c, h = _step(self, gates, c, go, size)
            hidden.append(h)
        self._finish(y, hidden, end, [h, c])

    def _as_node(self, inputs: RecurrentInputs, cont: Tensor, y: Tensor, end: list[Tensor]) -> None:
        """Write one LSTM node, whose gates are in the order i, o, f, g."""
        graph, size, (x,) = self.graph, y.shape[2], _given([inputs.x])
        w_x, b, w_h = (self.constant_values(p, "its weights") for p in _given(inputs.params))

        def ordered(array: Any) -> Any:
            i, f, o, g = np.split(array, 4)
            return np.concatenate([i, o, f, g])[None]

        bias = np.concatenate([ordered(b), np.zeros((1, 4 * size))], axis=1)
        start: list[str] = []
        if not all(map(self._is_zero, _given(inputs.start))):
            go = graph.constant(np.asarray(cont.read()[0]).reshape(1, -1, 1))
            start = [graph.one("Mul", state, go) for state in self._start(inputs, size)]
        flat = self.read(x, (*x.shape[:2], math.prod(x.shape[2:])))
        constants = [graph.constant(array) for array in (ordered(w_x), ordered(w_h), bias)]
        all_h, h, c = graph.add("LSTM", flat, *constants, "", *start, n=3, hidden_size=size)
        self.write(y, all_h, (y.shape[0], 1, *y.shape[1:]))
        for tensor, state in zip(end, (h, c), strict=True):
            self.write(tensor, state, (1, *y.shape[1:]))


def _step(self: Emitter[Any], gates: str, c: str, go: str, size: int) -> tuple[str, str]:
    """Return the states c and h after one step of an LSTM."""
    graph = self.graph
    i, f, o, g = graph.split(gates, [size] * 4, 2)
    kept = graph.one("Mul", graph.one("Mul", graph.one("Sigmoid", f), go), c)
    new = graph.one("Mul", graph.one("Sigmoid", i), graph.one("Tanh", g))
    c = graph.one("Add", kept, new)
    return c, graph.one("Mul", graph.one("Sigmoid", o), graph.one("Tanh", c))


@emitter(LstmUnit)
class LstmUnitEmitter(Emitter[LstmUnit]):
    """The nodes of one step."""

    def forward(self, c0: Tensor, a: Tensor, cont: Tensor, c: Tensor, h: Tensor) -> None:
        """Overwrite c and h."""
        name = self.read(cont)
        self.graph.expect(name, WholeNumbers(2))
        go = self.read(cont, (*cont.shape, 1))
        states = _step(self, self.read(a), self.read(c0), go, c.shape[2])
        self.write(c, states[0])
        self.write(h, states[1])
