"""RNN: the tanh of a state is a post-op of its step's product; outputs are computed at once."""

from __future__ import annotations

from collections.abc import Sequence

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
from minicaffe.ops.activation import Tanh
from minicaffe.ops.backend import Tensor
from minicaffe.ops.rnn import Rnn


@kernel(Rnn)
class OneDnnRnn(OneDnnRecurrent[Rnn]):
    """RNN. After a step, a holds h; the outputs are computed for all steps at once."""

    def __init__(self, backend: OneDnnBackend, op: Rnn, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        ones = np.ones(self.size, np.float32)
        self.step_product = StepProduct(backend, self.h_before, self.a, Alg.ELTWISE_TANH, ones)
        # A copy of y, because a layer in place may overwrite y.
        self._y, self._dout = self.new(self.a.shape), self.new(self.a.shape)
        self._slope = np.zeros(self.a.shape, np.float32)
        self._outputs = self.product(self.a, tensors[-2], self._y, bias=True)
        self._tanh = backend.plan(Tanh(), self._y, self._y)

    def forward(
        self,
        inputs: Inputs,
        cont: OneDnnTensor,
        y: OneDnnTensor,
        end: Sequence[OneDnnTensor],
    ) -> None:
        """Overwrite y and end."""
        self.begin_forward(inputs, cont)
        h = self.a.update()
        self.run_forward(h)
        w_o, b_o = inputs.params[-2:]
        self._outputs.forward(self.a, w_o, b_o, self._y)
        self._tanh.forward(self._y, self._y)
        y.copy_from(self._y)
        write_states(end, h[-1])

    def backward(
        self,
        inputs: Inputs,
        dy: OneDnnTensor,
        dend: Sequence[OneDnnTensor | None],
        gradients: Inputs,
    ) -> None:
        """Overwrite the gradients of data and states, add to those of the parameters."""
        self._tanh.backward(self._y, self._y, dy, self._dout)
        dw_o, db_o = gradients.params[-2:]
        self._outputs.backward_weights(self.a, self._dout, dw_o, db_o)
        self._outputs.backward_data(self._dout, inputs.params[-2], self.da)
        step_back = self.begin_backward(inputs.params[self.recurrent], dend[0])
        h, da, dh = self.a.read(), self.da.update(), self.dh.update()
        np.multiply(h, h, out=self._slope)
        np.subtract(1, self._slope, out=self._slope)
        for t in reversed(range(self.steps)):
            da[t] += dh
            da[t] *= self._slope[t]
            step_back(t)
        self.finish_backward(inputs, gradients)
        write_states(gradients.start, dh)
