"""LSTM: sigmoids on the way out of each step's product, the rest of a step in NumPy on threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minicaffe.backends.onednn.backend import OneDnnBackend, kernel
from minicaffe.backends.onednn.kernels._recurrent import Inputs, Recurrent, StepProduct, write_state
from minicaffe.backends.onednn.runtime.library import Alg
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.lstm import Lstm

# Where the gates lie in a.
IN, FORGET, OUT, NEW = range(4)
# Numbers of a state that are worth waking a thread for: NumPy goes over them in some 100 us.
PIECE = 32768


@kernel(Lstm)
class OneDnnLstm(Recurrent):
    """LSTM. Behind a step, a holds its gates i, f (times cont), o and g.

    tanh x = 2 sigmoid(2 x) - 1, so that one function serves all gates; off by some 1e-7 at most.
    """

    def __init__(self, backend: OneDnnBackend, op: Lstm, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        factors = np.repeat((1.0, 1.0, 1.0, 2.0), self.size)
        self._product = StepProduct(backend, self.h_before, self.a, Alg.ELTWISE_LOGISTIC, factors)
        # c before the first step and behind each; tanh of the latter, and dh / dc.
        shape = (self.steps, self.streams, self.size)
        self._cells = np.zeros((self.steps + 1, *shape[1:]), np.float32)
        self._tanh, self._slope = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._dc, self._spare = (np.zeros(shape[1:], np.float32) for _ in range(2))
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
        gates = self.a.update().reshape(self.steps, self.streams, 4, self.size)
        before, out = self.h_before.update(), y.write()
        for t in range(self.steps):
            self._product(t)
            self._spread(self._step, t, gates[t], out[t])
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
        step_back = self.begin_backward(inputs.params[self.recurrent], dend[0])
        dh, dc, spare, given = self.dh.update(), self._dc, self._spare, dy.read()
        dc[...] = 0 if dend[1] is None else dend[1].read().reshape(dc.shape)
        shape = (self.steps, self.streams, 4, self.size)
        gates, da = self.a.read().reshape(shape), self.da.update().reshape(shape)
        self._spread_steps(lambda steps: self._slopes(steps, gates[steps], da[steps]))
        for t in reversed(range(self.steps)):
            dh += given[t]
            np.multiply(self._slope[t], dh, out=spare)
            dc += spare
            da[t, :, :OUT] *= dc[:, None]
            da[t, :, OUT] *= dh
            da[t, :, NEW] *= dc
            dc *= gates[t, :, FORGET]
            step_back(t)
        self.finish_backward(inputs, gradients)
        for tensor, state in zip(gradients.start, (dh, dc), strict=True):
            write_state(tensor, state)

    def _spread_steps(self, run: Callable[[slice], None]) -> None:
        """Call ``run(steps)`` on all threads, with as many time steps as stay in the cache."""
        n = max(1, PIECE // (self.streams * self.size))

        def run_share(thread: int) -> None:
            for start in range(thread * n, self.steps, n * self.backend.threads):
                run(slice(start, min(start + n, self.steps)))

        self.backend.spread(run_share, -(-self.steps // n))

    def _spread(self, run: Callable[..., None], t: int, *arrays: Array) -> None:
        """Call ``run(t, rows, *arrays)`` on each thread with its streams and their rows."""

        def run_share(thread: int) -> None:
            rows = self._shares[thread]
            run(t, rows, *[array[rows] for array in arrays])

        self.backend.spread(run_share, len(self._shares))

    def _step(self, t: int, rows: slice, gates: Array, h: Array) -> None:
        """Give c, its tanh and h of some streams."""
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
        """Overwrite da with what dc, for o dh, is multiplied with, and give dh / dc."""
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
