"""LSTM layers, and a single LSTM step."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.kernels._channel_sums import NULL
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.kernels._recurrent import CudaRecurrent, Inputs
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.lstm import Lstm, LstmUnit


@kernel(Lstm)
class CudaLstm(CudaRecurrent):
    """LSTM. A step stores its gates in a: i, f (times cont), o and g."""

    def __init__(self, backend: CudaBackend, op: Lstm, *tensors: CudaTensor) -> None:
        super().__init__(backend, op, *tensors)
        # c before the first step and after each step.
        self._cells = self.own(self.steps + 1, self.size)

    def forward(
        self, inputs: Inputs, cont: CudaTensor, y: CudaTensor, end: Sequence[CudaTensor]
    ) -> None:
        """Overwrite y and end."""
        added = self.begin(inputs, cont, self._cells.address)
        w_h = self.weights(inputs.params[self.recurrent])
        to = self.steps_of(y.target(self.form), self.size)
        h_end, c_end = (state.target() for state in end)
        for t in range(self.steps):
            self.add_recurrent(t, w_h)
            c, is_last = self._cells.at(t + 1), t + 1 == self.steps
            self.run(
                "lstm",
                *(self.a.at(t), self.a.at(t), *added, self.cont(t), self._cells.at(t)),
                *(c, c_end if is_last else NULL, *self.state(t, to, h_end)),
            )

    def backward(
        self,
        inputs: Inputs,
        dy: CudaTensor,
        dend: Sequence[CudaTensor | None],
        gradients: Inputs,
    ) -> None:
        """Overwrite the gradients of data and states; accumulate those of the parameters."""
        given, scale = self.steps_of(dy.source(self.form), self.size), dy.scale(self.form)
        to_h, to_c = (self.temporary(name, 1, self.size) for name in ("dh", "dc"))
        dh, dc = self.to_float(dend[0], to_h), self.to_float(dend[1], to_c)
        da = self.temporary("da", self.steps, self.rows, self.form.value)
        w_h = self.weights(inputs.params[self.recurrent])
        for t in reversed(range(self.steps)):
            self.run(
                "lstm_backward",
                *(self.a.at(t), self._cells.at(t), self._cells.at(t + 1), given.at(t), dh),
                *(self.cont(t + 1), dc, to_c.address, da.at(t)),
            )
            self.backend.gemm(da.step(t), w_h, to_h.all)
            dh, dc = to_h.address, to_c.address
        self.backward_products(inputs, da, gradients, scale)
        dh_start, dc_start = gradients.start
        self.start_gradient(dh_start, to_h.address, self.cont(0))
        self.start_gradient(dc_start, to_c.address, NULL)


@kernel(LstmUnit)
class CudaLstmUnit(CudaKernel[LstmUnit]):
    """One LSTM step in float32, because errors of cells accumulate over steps."""

    file = "_recurrent"

    def __init__(self, backend: CudaBackend, op: LstmUnit, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        c0 = tensors[0]
        self._n, self._divisor = c0.size, divisor(c0.shape[2])
        self._gates = self.device.allocate(max(16 * c0.size, 4))
        self._cells = self.device.allocate(max(4 * c0.size, 4))

    def forward(
        self, c0: CudaTensor, a: CudaTensor, cont: CudaTensor, c: CudaTensor, h: CudaTensor
    ) -> None:
        """Overwrite c and h."""
        given, added = a.source(), (NULL, NULL)
        before = (cont.source(), c0.source())
        to = (self._cells.address, c.target(), h.target(), NULL, NULL, NULL)
        self._run("lstm", given, self._gates.address, *added, *before, *to)

    def backward(
        self,
        c0: CudaTensor,
        dc: CudaTensor,
        dh: CudaTensor,
        dc0: CudaTensor | None,
        da: CudaTensor | None,
    ) -> None:
        """Overwrite dc0 and da, if they are needed."""
        saved = (self._gates.address, c0.source(), self._cells.address)
        given = (dh.source(), NULL, NULL, dc.source())
        to = (NULL if tensor is None else tensor.target() for tensor in (dc0, da))
        self._run("lstm_backward", *saved, *given, *to)

    def _run(self, name: str, *args: int) -> None:
        self.launch(name, self._n, *args, self._n, *self._divisor)
