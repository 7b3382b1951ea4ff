"""LSTM: the gates' sigmoids are a post-op of each step's product; NumPy computes the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minicaffe.backends.onednn.backend import OneDnnBackend, kernel
from minicaffe.backends.onednn.kernels._recurrent import (
    Inputs,
    OneDnnRecurrent,
    StepProduct,
    write_states,
)
from minicaffe.backends.onednn.runtime.library import Alg
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.lstm import Lstm

# The order of the gates in a.
IN, FORGET, OUT, NEW = range(4)
# Least values of a state for each thread: NumPy takes some 100 us for a step on so many.
VALUES_PER_THREAD = 32768


@kernel(Lstm)
class OneDnnLstm(OneDnnRecurrent[Lstm]):
    """LSTM. After a step, a holds its gates i, f (times cont), o and g.

    g is computed as tanh x = 2 sigmoid(2 x) - 1, so that one post-op serves all gates; the error is
    some 1e-7 at most.
    """

    def __init__(self, backend: OneDnnBackend, op: Lstm, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        factors = np.repeat((1.0, 1.0, 1.0, 2.0), self.size)
        self.step_product = StepProduct(
            backend, self.h_before, self.a, Alg.ELTWISE_LOGISTIC, factors
        )
        # c before the first step and after each; tanh of the latter, and dh / dc.
        shape = (self.steps, self.streams, self.size)
        self._cells = np.zeros((self.steps + 1, *shape[1:]), np.float32)
        self._tanh, self._slope = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._dc, self._temporary = (np.zeros(shape[1:], np.float32) for _ in range(2))
        worthwhile = self.streams * self.size // VALUES_PER_THREAD
        n = max(1, min(backend.threads, self.streams, worthwhile))
        edges = [self.streams * i // n for i in range(n + 1)]
        self._rows_of_thread = [slice(*edges[i : i + 2]) for i in range(n)]

    def forward(
        self,
        inputs: Inputs,
        cont: OneDnnTensor,
        y: OneDnnTensor,
        end: Sequence[OneDnnTensor],
    ) -> None:
        """Overwrite y and end."""
        self.begin_forward(inputs, cont)
        self._cells[0] = inputs.start[1].read().reshape(self.dh.shape)
        gates = self.a.update().reshape(self.steps, self.streams, 4, self.size)
        out = y.write()
        self.run_forward(out, lambda t: self._spread(self._step, t, gates[t], out[t]))
        write_states(end, out[-1], self._cells[-1])

    def backward(
        self,
        inputs: Inputs,
        dy: OneDnnTensor,
        dend: Sequence[OneDnnTensor | None],
        gradients: Inputs,
    ) -> None:
        """Overwrite the gradients of data and states, add to those of the parameters."""
        step_back = self.begin_backward(inputs.params[self.recurrent], dend[0])
        dh, dc, temporary, dh_output = self.dh.update(), self._dc, self._temporary, dy.read()
        dc[...] = 0 if dend[1] is None else dend[1].read().reshape(dc.shape)
        shape = (self.steps, self.streams, 4, self.size)
        gates, da = self.a.read().reshape(shape), self.da.update().reshape(shape)
        self._spread_steps(lambda steps: self._slopes(steps, gates[steps], da[steps]))
        for t in reversed(range(self.steps)):
            dh += dh_output[t]
            np.multiply(self._slope[t], dh, out=temporary)
            dc += temporary
            da[t, :, :OUT] *= dc[:, None]
            da[t, :, OUT] *= dh
            da[t, :, NEW] *= dc
            dc *= gates[t, :, FORGET]
            step_back(t)
        self.finish_backward(inputs, gradients)
        write_states(gradients.start, dh, dc)

    def _spread_steps(self, run: Callable[[slice], None]) -> None:
        """Call ``run(steps)`` on all threads, with as many time steps as fit the cache."""
        n = max(1, VALUES_PER_THREAD // (self.streams * self.size))

        def run_share(thread: int) -> None:
            for start in range(thread * n, self.steps, n * self.backend.threads):
                run(slice(start, min(start + n, self.steps)))

        self.backend.spread(run_share, -(-self.steps // n))

    def _spread(self, run: Callable[..., None], t: int, *arrays: Array) -> None:
        """Call ``run(t, streams, *rows)`` on each thread, with its streams' rows of each array."""

        def run_share(thread: int) -> None:
            rows = self._rows_of_thread[thread]
            run(t, rows, *[array[rows] for array in arrays])

        self.backend.spread(run_share, len(self._rows_of_thread))

    def _step(self, t: int, rows: slice, gates: Array, h: Array) -> None:
        """Overwrite c, its tanh and h of some streams."""
        i, f, o, g = (gates[:, k] for k in (IN, FORGET, OUT, NEW))
        c, tanh = self._cells[t + 1, rows], self._tanh[t, rows]
        f *= self.cont[t, rows]
        g *= 2
        g -= 1
        np.multiply(f, self._cells[t, rows], out=c)
        np.multiply(i, g, out=tanh)
        c += tanh
        np.tanh(c, out=tanh)
        np.multiply(o, tanh, out=h)

    def _slopes(self, steps: slice, gates: Array, da: Array) -> None:
        """Overwrite da with the factors of dc (for gate o, of dh), and the slope with dh / dc."""
        tanh, slope = self._tanh[steps], self._slope[steps]
        np.subtract(1, gates, out=da)
        da *= gates
        np.multiply(gates[:, :, NEW], gates[:, :, NEW], out=da[:, :, NEW])
        np.subtract(1, da[:, :, NEW], out=da[:, :, NEW])
        da[:, :, IN] *= gates[:, :, NEW]
        da[:, :, FORGET] *= self._cells[steps]
        da[:, :, OUT] *= tanh
        da[:, :, NEW] *= gates[:, :, IN]
        np.multiply(tanh, tanh, out=slope)
        np.subtract(1, slope, out=slope)
        slope *= gates[:, :, OUT]
