"""LSTM: sigmoids on the way out of each step's product, the rest of a step in NumPy on threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minicaffe.backends.onednn._lib import Alg
from minicaffe.backends.onednn.backend import OneDnnBackend, kernel
from minicaffe.backends.onednn.recurrent import Inputs, Recurrent, StepProduct, write_state
from minicaffe.backends.onednn.tensor import OneDnnTensor
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.recurrent import Lstm

# Numbers of a state that are worth waking a thread for: NumPy goes over them in some 100 us.
PIECE = 32768


@kernel(Lstm)
class OneDnnLstm(Recurrent):
    """LSTM. Behind a step, a holds its gates i, f (times cont), o and g.

    tanh x = 2 sigmoid(2 x) - 1, so that one function serves all gates.
    """

    def __init__(self, backend: OneDnnBackend, op: Lstm, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        factors = np.repeat((1.0, 1.0, 1.0, 2.0), self.size)
        self._product = StepProduct(backend, self.h_before, self.a, Alg.ELTWISE_LOGISTIC, factors)
        # c before the first step and behind each; tanh of the latter.
        self._cells = np.zeros((self.steps + 1, self.streams, self.size), np.float32)
        self._tanh = np.zeros((self.steps, self.streams, self.size), np.float32)
        self._dc, self._spare = (np.zeros_like(self._tanh[0]) for _ in range(2))
        n = max(1, min(backend.threads, self.streams, self.streams * self.size // PIECE))
        edges = [self.streams * i // n for i in range(n + 1)]
        self._shares = [slice(*edges[i : i + 2]) for i in range(n)]

    def forward(
        self,
        inputs: Inputs,
        cont: OneDnnTensor,
        y: OneDnnTensor,
        end: Sequence[OneDnnTensor],
    ) -> None:
        """Overwrite y and end."""
        self.drive(inputs, cont)
        self._product.use(inputs.params[self.recurrent])
        self._cells[0] = inputs.start[1].read().reshape(self.dh.shape)
        a, before, out = self.a.update(), self.h_before.update(), y.write()
        for t in range(self.steps):
            self._product(t)
            self._spread(self._step, t, a[t], out[t])
            if t + 1 < self.steps:
                np.multiply(out[t], self.cont[t + 1], out=before[t + 1])
        for tensor, state in zip(end, (out[-1], self._cells[-1]), strict=True):
            write_state(tensor, state)

    def backward(
        self,
        inputs: Inputs,
        dy: OneDnnTensor,
        dend: Sequence[OneDnnTensor | None],
        gradients: Inputs,
    ) -> None:
        """Overwrite the gradients of data and states, add to those of the parameters."""
        self.begin_backward(dend[0])
        self._dc[...] = 0 if dend[1] is None else dend[1].read().reshape(self._dc.shape)
        a, da, dh, given = self.a.read(), self.da.write(), self.dh.update(), dy.read()
        for t in reversed(range(self.steps)):
            dh += given[t]
            self._spread(self._step_back, t, a[t], da[t])
            self.step_back(t, inputs.params[self.recurrent])
        self.finish_backward(inputs, gradients)
        for tensor, state in zip(gradients.start, (dh, self._dc), strict=True):
            write_state(tensor, state)

    def _spread(self, run: Callable[..., None], t: int, *arrays: Array) -> None:
        """Call ``run(t, rows, *arrays)`` on each thread with its streams and their rows."""

        def run_share(thread: int) -> None:
            rows = self._shares[thread]
            run(t, rows, *[array[rows] for array in arrays])

        self.backend.spread(run_share, len(self._shares))

    def _step(self, t: int, rows: slice, gates: Array, h: Array) -> None:
        """Give c, its tanh and h of some streams."""
        i, f, o, g = quarters(gates)
        c, tanh = self._cells[t + 1, rows], self._tanh[t, rows]
        f *= self.cont[t, rows]
        g *= 2
        g -= 1
        np.multiply(f, self._cells[t, rows], out=c)
        np.multiply(i, g, out=tanh)
        c += tanh
        np.tanh(c, out=tanh)
        np.multiply(o, tanh, out=h)

    def _step_back(self, t: int, rows: slice, gates: Array, da: Array) -> None:
        """From dh and dc give da of some streams, and overwrite dc with the gradient of c[t-1]."""
        (i, f, o, g), (di, df, do, dg) = quarters(gates), quarters(da)
        tanh, dh = self._tanh[t, rows], self.dh.read()[rows]
        dc, spare = self._dc[rows], self._spare[rows]
        np.multiply(dh, o, out=spare)
        np.subtract(1, o, out=do)
        do *= spare
        do *= tanh
        np.multiply(tanh, tanh, out=di)
        np.subtract(1, di, out=di)
        spare *= di
        dc += spare
        np.multiply(dc, i, out=spare)
        np.multiply(g, g, out=dg)
        np.subtract(1, dg, out=dg)
        dg *= spare
        np.subtract(1, i, out=di)
        di *= spare
        di *= g
        np.subtract(1, f, out=df)
        dc *= f
        df *= dc
        df *= self._cells[t, rows]


def quarters(rows: Array) -> list[Array]:
    """Return i, f, o and g."""
    size = rows.shape[1] // 4
    return [rows[:, k * size : (k + 1) * size] for k in range(4)]
