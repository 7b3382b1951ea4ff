"""Plain recurrent layers (Elman RNN)."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.backends.cuda.backend import CudaBackend, kernel
from minicaffe.backends.cuda.kernels._recurrent import CudaRecurrent, Inputs
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.rnn import Rnn


@kernel(Rnn)
class CudaRnn(CudaRecurrent):
    """Plain RNN. A step stores h in a; the outputs are computed for all steps at once."""

    def __init__(self, backend: CudaBackend, op: Rnn, *tensors: CudaTensor) -> None:
        super().__init__(backend, op, *tensors)
        # h in the type of factors; a copy of y, which an in-place layer may overwrite.
        self._h = self.own(self.steps, self.size, self.form.value)
        self._y = self.own(self.steps, self.size)

    def forward(
        self, inputs: Inputs, cont: CudaTensor, y: CudaTensor, end: Sequence[CudaTensor]
    ) -> None:
        """Overwrite y and end."""
        added = self.begin(inputs, cont)
        w_h, w_o = (self.weights(w) for w in inputs.params[self.recurrent : -1])
        b_o, to, h_end = inputs.params[-1].source(), y.target(self.form), end[0].target()
        for t in range(self.steps):
            self.add_recurrent(t, w_h)
            self.run("rnn", self.a.at(t), *added, *self.state(t, self._h, h_end))
        self.backend.gemm(self._h.all, w_o.transpose, self._y.all)
        self.run("outputs", self._y.address, b_o, to, steps=self.steps)

    def backward(
        self,
        inputs: Inputs,
        dy: CudaTensor,
        dend: Sequence[CudaTensor | None],
        gradients: Inputs,
    ) -> None:
        """Overwrite the gradients of data and states; accumulate those of the parameters."""
        scale = dy.scale(self.form)
        dout = self.temporary("dout", self.steps, self.size, self.form.value)
        saved, received = self._y.address, dy.source(self.form)
        self.run("outputs_backward", saved, received, dout.address, steps=self.steps)
        dw_o, db_o = gradients.params[-2:]
        self.accumulate(dw_o, dout, self._h, scale)
        self.accumulate_bias(db_o, dout, scale)
        w_h, w_o = (self.weights(w) for w in inputs.params[self.recurrent : -1])
        given = self.temporary("given", self.steps, self.size)
        self.backend.gemm(dout.all, w_o, given.all)
        to_h = self.temporary("dh", 1, self.size)
        dh = self.to_float(dend[0], to_h)
        da = self.temporary("da", self.steps, self.size, self.form.value)
        for t in reversed(range(self.steps)):
            self.run("rnn_backward", self.a.at(t), given.at(t), dh, self.cont(t + 1), da.at(t))
            self.backend.gemm(da.step(t), w_h, to_h.all)
            dh = to_h.address
        self.backward_products(inputs, da, gradients, scale)
        self.start_gradient(gradients.start[0], to_h.address, self.cont(0))
