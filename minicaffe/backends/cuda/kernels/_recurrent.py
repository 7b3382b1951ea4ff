"""What the recurrent kernels share: products for all time steps at once, and for one.

The inputs' share of all steps is one product, and so are the gradients behind the loop. In a step
there remain a product with the state before it, and one kernel. cuDNN's own layers are not used: a
sequence cannot begin in the middle of a batch there, as cont asks.

Factors of products are of the type of activations. Sums, cells and the gradients that go from step
to step are float32: those are what adds up over time. In float16 the latter have the scale of dy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from minicaffe.backends.cuda.backend import MAX_VALUES, CudaBackend, CudaKernel
from minicaffe.backends.cuda.driver.cublas import Matrix
from minicaffe.backends.cuda.driver.device import Address, Argument, DeviceMemory
from minicaffe.backends.cuda.kernels._channel_sums import NULL, Channels, ChannelSums, Result
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.runtime.format import DTYPES, PLAIN, SIZE_BYTES, Format, ValueType
from minicaffe.backends.cuda.runtime.loss_scale import LossScale
from minicaffe.backends.cuda.runtime.saved import SavedForBackward
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.lstm import Lstm
from minicaffe.ops.rnn import Rnn

# RecurrentInputs whose tensors are this backend's.
Inputs: TypeAlias = Any


@dataclass(frozen=True)
class Steps:
    """Values (steps, streams, columns) in device memory, in C order."""

    address: Address
    steps: int
    streams: int
    columns: int
    value: ValueType = "float"

    @property
    def n(self) -> int:
        """Number of values."""
        return self.steps * self.streams * self.columns

    @property
    def size_bytes(self) -> int:
        """How much memory to take for them: never nothing."""
        return max(self.n * SIZE_BYTES[self.value], 4)

    def at(self, t: int) -> Address:
        """Return where the values of a step begin."""
        return self.address + t * self.streams * self.columns * SIZE_BYTES[self.value]

    def step(self, t: int) -> Matrix:
        """Return those of one step, a row for each stream."""
        return Matrix(self.at(t), self.streams, self.columns, DTYPES[self.value])

    @property
    def all(self) -> Matrix:
        """Those of all steps, a row for each step of each stream."""
        rows = self.steps * self.streams
        return Matrix(self.address, rows, self.columns, DTYPES[self.value])


class CudaRecurrent(CudaKernel):
    """Base of LSTM and RNN.

    The parameters begin with w_x, b and, with static, w_s; w_h follows.

    Attributes
    ----------
    a : Steps
        (T, N, rows): the inputs' share of the sums; then what a step makes of its sums.
    before : Steps
        (T, N, D): cont[t] h[t-1].
    form : Format
        Of what products read.
    """

    file = "_recurrent"

    def __init__(
        self,
        backend: CudaBackend,
        op: Lstm | Rnn,
        x: CudaTensor,
        cont: CudaTensor,
        y: CudaTensor,
        *params: CudaTensor,
    ) -> None:
        super().__init__(backend, op)
        self.steps, self.streams, self.size = y.shape
        self.rows, self._inputs = params[0].shape
        if (n := self.steps * self.streams * self.rows) > MAX_VALUES:
            raise Unsupported(f"the GPU's kernels count to {MAX_VALUES}; there are {n} sums")
        self.form = Format(False, backend.format.value)
        self._divisor = divisor(self.size)
        self.recurrent = 3 if op.static else 2
        self._memories: list[DeviceMemory] = []
        self.a = self.own(self.steps, self.rows)
        self.before = self.own(self.steps, self.size, self.form.value)
        self._saved_cont = SavedForBackward(self.device, cont)
        self._cont = Steps(self._saved_cont.address, self.steps, self.streams, 1)
        self._sums = ChannelSums(backend, "given")

    def own(self, steps: int, columns: int, value: ValueType = "float") -> Steps:
        """Return memory of the kernel's own for values at so many steps."""
        found = Steps(NULL, steps, self.streams, columns, value)
        self._memories.append(self.device.allocate(found.size_bytes))
        return replace(found, address=self._memories[-1].address)

    def lent(self, purpose: str, steps: int, columns: int, value: ValueType = "float") -> Steps:
        """Return the same for one call."""
        found = Steps(NULL, steps, self.streams, columns, value)
        return replace(found, address=self.scratch(found.size_bytes, f"recurrent {purpose}"))

    def each(self, address: Address, columns: int) -> Steps:
        """Return values of a tensor, for all steps, in `form`."""
        return Steps(address, self.steps, self.streams, columns, self.form.value)

    def cont(self, t: int) -> Address:
        """Return where cont of a step lies; NULL behind the last one."""
        return self._cont.at(t) if t < self.steps else NULL

    def run(self, name: str, *args: Argument, steps: int = 1) -> None:
        """Launch a kernel that goes over the states of so many steps."""
        n = steps * self.streams * self.size
        self.launch(name, n, *args, n, *self._divisor, value=self.form.value)

    def weights(self, w: CudaTensor) -> Matrix:
        """Return the weights of a product."""
        rows, columns = w.shape
        return Matrix(w.source(self.form), rows, columns, DTYPES[self.form.value])

    # Forward.

    def begin(
        self, inputs: Inputs, cont: CudaTensor, cells: Address = NULL
    ) -> tuple[Address, Address]:
        """Overwrite a, before[0] and cont; and the first of the cells, where there are any.

        Returns
        -------
        tuple of Address
            What a step adds to its sums: the bias, (rows,), and the share of a static input,
            (N, rows), or NULL.
        """
        self._saved_cont.save(cont.source(), PLAIN)
        states = [state.source() for state in inputs.start]
        x, w_x = self.each(inputs.x.source(self.form), self._inputs), self.weights(inputs.params[0])
        self.backend.gemm(x.all, w_x.transpose, self.a.all)
        share = NULL
        if self.op.static:
            shares = self.lent("share", 1, self.rows)
            static = self._once(inputs.static.source(self.form), inputs)
            w_s = self.weights(inputs.params[2])
            self.backend.gemm(static.all, w_s.transpose, shares.all)
            share = shares.address
        given = (states[0], states[-1] if cells else NULL, self.cont(0))
        self.run("init_states", *given, self.before.at(0), cells)
        return inputs.params[1].source(), share

    def sum_up(self, t: int, w_h: Matrix) -> None:
        """Add to a[t] what comes from the state before."""
        self.backend.gemm(self.before.step(t), w_h.transpose, self.a.step(t), beta=1.0)

    def state(self, t: int, to: Steps, end: Address) -> tuple[Address, ...]:
        """Return where the state behind a step goes: STATE in kernels/recurrent.cu."""
        if t + 1 < self.steps:
            return to.at(t), self.before.at(t + 1), self.cont(t + 1), NULL
        return to.at(t), NULL, NULL, end

    # Backward.

    def to_float(self, dend: CudaTensor | None, to: Steps) -> Address:
        """Return where the gradient of a state after the last step lies in float; NULL is 0."""
        if dend is None:
            return NULL
        given = dend.source(self.form)
        self.launch("to_float", to.n, given, to.address, to.n, value=self.form.value)
        return to.address

    def start_gradient(self, dstart: CudaTensor | None, gradient: Address, cont: Address) -> None:
        """Overwrite the gradient of a state before the first step, where it is wanted."""
        if dstart is not None:
            self.run("start_gradient", gradient, cont, dstart.target(self.form))

    def spread(self, inputs: Inputs, da: Steps, gradients: Inputs, scale: LossScale | None) -> None:
        """From da overwrite the gradients of the inputs, add to those of the parameters."""
        dw = gradients.params
        x = self.each(inputs.x.source(self.form), self._inputs)
        self.accumulate(dw[0], da, x, scale)
        self.accumulate_bias(dw[1], da, scale)
        self.accumulate(dw[self.recurrent], da, self.before, scale)
        if gradients.x is not None:
            w_x = self.weights(inputs.params[0])
            to = self.each(gradients.x.target(self.form), self._inputs)
            self.backend.gemm(da.all, w_x, to.all)
        if self.op.static:
            total, n = self.lent("total", 1, self.rows, self.form.value), self.streams * self.rows
            given = (n, da.address, total.address, self.steps, n)
            self.launch("sum_steps", *given, value=self.form.value)
            static = self._once(inputs.static.source(self.form), inputs)
            self.accumulate(dw[2], total, static, scale)
            if gradients.static is not None:
                w_s = self.weights(inputs.params[2])
                to = self._once(gradients.static.target(self.form), inputs)
                self.backend.gemm(total.all, w_s, to.all)

    def accumulate(
        self, dw: CudaTensor | None, gradient: Steps, given: Steps, scale: LossScale | None
    ) -> None:
        """Add the gradient of the weights that made sums of what was given, where it is wanted."""
        if dw is not None:
            address, is_first = dw.accumulate()
            to = Matrix(address, gradient.columns, given.columns)
            beta = 0.0 if is_first else 1.0
            self.backend.gemm(gradient.all.transpose, given.all, to, beta=beta, scale=scale)

    def accumulate_bias(
        self, db: CudaTensor | None, gradient: Steps, scale: LossScale | None
    ) -> None:
        """Add the gradient of a bias, where it is wanted."""
        if db is not None:
            channels = Channels(self.steps * self.streams, gradient.columns, 1)
            given, result = (NULL, gradient.address), Result(db.accumulate(), scale=scale)
            self._sums(channels, gradient.value, given, result)

    def _once(self, address: Address, inputs: Inputs) -> Steps:
        """Return values of a tensor like the static input, in `form`."""
        return Steps(address, 1, self.streams, inputs.params[2].shape[1], self.form.value)
