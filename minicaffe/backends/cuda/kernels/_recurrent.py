"""Base class of the recurrent kernels: matrix products over all time steps, and per step.

The contribution of the inputs is one matrix product for all steps, and so are the gradients after
the loop. A step consists of a product with the previous state and one elementwise kernel. cuDNN's
RNN functions are not used, because there a sequence cannot begin inside of a batch, as cont allows.

Factors of products have the type of activations. Sums, cells and the gradients passed from step to
step are float32, because errors accumulate in them. With float16 these gradients have dy's loss
scale.
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

# `RecurrentInputs` with this backend's tensors; Any, because that class is not generic.
Inputs: TypeAlias = Any


@dataclass(frozen=True)
class Steps:
    """C-order values (steps, streams, columns) in device memory."""

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
        """Size of their allocation, at least 4."""
        return max(self.n * SIZE_BYTES[self.value], 4)

    def at(self, t: int) -> Address:
        """Return the address of the values of a step."""
        return self.address + t * self.streams * self.columns * SIZE_BYTES[self.value]

    def step(self, t: int) -> Matrix:
        """Return the values of one step as a matrix with a row for each stream."""
        return Matrix(self.at(t), self.streams, self.columns, DTYPES[self.value])

    @property
    def all(self) -> Matrix:
        """The values of all steps as a matrix with a row for each step and stream."""
        rows = self.steps * self.streams
        return Matrix(self.address, rows, self.columns, DTYPES[self.value])


class CudaRecurrent(CudaKernel[Lstm | Rnn]):
    """Base class of LSTM and RNN.

    The parameters begin with w_x, b and, with static, w_s; w_h follows.

    Attributes
    ----------
    a : Steps
        (T, N, rows): the inputs' contribution to the sums; then the result of each step.
    before : Steps
        (T, N, D): cont[t] h[t-1].
    form : Format
        Of the factors of products.
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
            raise Unsupported(
                f"the GPU kernels index at most {MAX_VALUES} values; there are {n} sums"
            )
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
        """Return a buffer that this kernel owns, for values of so many steps."""
        found = Steps(NULL, steps, self.streams, columns, value)
        self._memories.append(self.device.allocate(found.size_bytes))
        return replace(found, address=self._memories[-1].address)

    def temporary(
        self, purpose: str, steps: int, columns: int, value: ValueType = "float"
    ) -> Steps:
        """Return a scratch buffer for one call."""
        found = Steps(NULL, steps, self.streams, columns, value)
        return replace(found, address=self.scratch(found.size_bytes, f"recurrent {purpose}"))

    def steps_of(self, address: Address, columns: int) -> Steps:
        """Return the values of a tensor at `address`, for all steps, in `form`."""
        return Steps(address, self.steps, self.streams, columns, self.form.value)

    def cont(self, t: int) -> Address:
        """Return the address of cont of a step; NULL after the last one."""
        return self._cont.at(t) if t < self.steps else NULL

    def run(self, name: str, *args: Argument, steps: int = 1) -> None:
        """Launch a kernel over the states of so many steps."""
        n = steps * self.streams * self.size
        self.launch(name, n, *args, n, *self._divisor, value=self.form.value)

    def weights(self, w: CudaTensor) -> Matrix:
        """Return weights as a factor of a product."""
        rows, columns = w.shape
        return Matrix(w.source(self.form), rows, columns, DTYPES[self.form.value])

    # Forward.

    def begin(
        self, inputs: Inputs, cont: CudaTensor, cells: Address = NULL
    ) -> tuple[Address, Address]:
        """Overwrite a, before[0] and cont, and the initial cells, if any.

        Returns
        -------
        tuple of Address
            The terms of each step: the bias, (rows,), and the contribution of a static input,
            (N, rows), or NULL.
        """
        self._saved_cont.save(cont.source(), PLAIN)
        states = [state.source() for state in inputs.start]
        x, w_x = (
            self.steps_of(inputs.x.source(self.form), self._inputs),
            self.weights(inputs.params[0]),
        )
        self.backend.gemm(x.all, w_x.transpose, self.a.all)
        static_sums = NULL
        if self.op.static:
            sums = self.temporary("static sums", 1, self.rows)
            static = self._static(inputs.static.source(self.form), inputs)
            w_s = self.weights(inputs.params[2])
            self.backend.gemm(static.all, w_s.transpose, sums.all)
            static_sums = sums.address
        given = (states[0], states[-1] if cells else NULL, self.cont(0))
        self.run("init_states", *given, self.before.at(0), cells)
        return inputs.params[1].source(), static_sums

    def add_recurrent(self, t: int, w_h: Matrix) -> None:
        """Add the contribution of the previous state to a[t]."""
        self.backend.gemm(self.before.step(t), w_h.transpose, self.a.step(t), beta=1.0)

    def state(self, t: int, to: Steps, end: Address) -> tuple[Address, ...]:
        """Return the outputs of the state after a step: STATE in kernels/_recurrent.cu."""
        if t + 1 < self.steps:
            return to.at(t), self.before.at(t + 1), self.cont(t + 1), NULL
        return to.at(t), NULL, NULL, end

    # Backward.

    def to_float(self, dend: CudaTensor | None, to: Steps) -> Address:
        """Return the address of the gradient of the last state as float; NULL means 0."""
        if dend is None:
            return NULL
        given = dend.source(self.form)
        self.launch("to_float", to.n, given, to.address, to.n, value=self.form.value)
        return to.address

    def start_gradient(self, dstart: CudaTensor | None, gradient: Address, cont: Address) -> None:
        """Overwrite the gradient of the initial state, if it is needed."""
        if dstart is not None:
            self.run("start_gradient", gradient, cont, dstart.target(self.form))

    def backward_products(
        self, inputs: Inputs, da: Steps, gradients: Inputs, scale: LossScale | None
    ) -> None:
        """Overwrite the gradients of the inputs and accumulate those of the parameters, from da."""
        dw = gradients.params
        x = self.steps_of(inputs.x.source(self.form), self._inputs)
        self.accumulate(dw[0], da, x, scale)
        self.accumulate_bias(dw[1], da, scale)
        self.accumulate(dw[self.recurrent], da, self.before, scale)
        if gradients.x is not None:
            w_x = self.weights(inputs.params[0])
            to = self.steps_of(gradients.x.target(self.form), self._inputs)
            self.backend.gemm(da.all, w_x, to.all)
        if self.op.static:
            total, n = (
                self.temporary("total", 1, self.rows, self.form.value),
                self.streams * self.rows,
            )
            given = (n, da.address, total.address, self.steps, n)
            self.launch("sum_steps", *given, value=self.form.value)
            static = self._static(inputs.static.source(self.form), inputs)
            self.accumulate(dw[2], total, static, scale)
            if gradients.static is not None:
                w_s = self.weights(inputs.params[2])
                to = self._static(gradients.static.target(self.form), inputs)
                self.backend.gemm(total.all, w_s, to.all)

    def accumulate(
        self, dw: CudaTensor | None, gradient: Steps, given: Steps, scale: LossScale | None
    ) -> None:
        """Accumulate the gradient of the weights of a product with `given`, if it is needed."""
        if dw is not None:
            address, is_first = dw.accumulate()
            to = Matrix(address, gradient.columns, given.columns)
            beta = 0.0 if is_first else 1.0
            self.backend.gemm(gradient.all.transpose, given.all, to, beta=beta, scale=scale)

    def accumulate_bias(
        self, db: CudaTensor | None, gradient: Steps, scale: LossScale | None
    ) -> None:
        """Accumulate the gradient of a bias, if it is needed."""
        if db is not None:
            channels = Channels(self.steps * self.streams, gradient.columns, 1)
            given, result = (NULL, gradient.address), Result(db.accumulate(), scale=scale)
            self._sums(channels, gradient.value, given, result)

    def _static(self, address: Address, inputs: Inputs) -> Steps:
        """Return the values of a tensor of the static input's shape, in `form`."""
        return Steps(address, 1, self.streams, inputs.params[2].shape[1], self.form.value)
