"""Base of the LSTM and RNN kernels: products over all time steps at once, and one per step.

The product of inputs and weights is computed for all steps at once, and so are the gradients after
the loop over the steps. A step computes the product with the previous state only. oneDNN's own LSTM
is not used: it runs through whole sequences and cannot reset a state in the middle of one, as cont
requires, and it has no compiled code for AVX2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel
from minicaffe.backends.onednn.kernels.inner_product import OneDnnInnerProduct
from minicaffe.backends.onednn.runtime.gemm import Sgemm
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop, Query, check_onednn
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, Primitive
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.ops.backend import Array, Shape, Tensor
from minicaffe.ops.inner_product import InnerProduct
from minicaffe.ops.lstm import Lstm
from minicaffe.ops.rnn import Rnn

RecurrentOp = TypeVar("RecurrentOp", bound=Lstm | Rnn)
# Any: RecurrentInputs whose tensors are this backend's.
Inputs: TypeAlias = Any


class StepProduct:
    """a[t] = function(factors * (a[t] + h[t] w^T)), one time step at a time.

    The weights are packed once for all steps, and the function is a post-op of the product.
    Measured on one core with AVX2: with 16 streams 1.2 to 1.3 times as fast as sgemm without the
    function; with 50 and 100 streams as fast.

    Parameters
    ----------
    backend : OneDnnBackend
    h, a : OneDnnTensor
        (T, N, D) and (T, N, rows), owned by the kernel: they must stay plain.
    function : Alg
    factors : array (rows,)
    """

    def __init__(
        self,
        backend: OneDnnBackend,
        h: OneDnnTensor,
        a: OneDnnTensor,
        function: Alg,
        factors: Array,
    ) -> None:
        (_, streams, size), rows = h.shape, a.shape[2]
        step_h, step_a = Layout.plain((streams, size)), Layout.plain((streams, rows))
        one_row = Layout.plain((1, rows))
        attributes = Attributes().sum().binary(Alg.BINARY_MUL, one_row).eltwise(function)
        self._primitive = Primitive(
            *(backend.engine, "inner_product_forward", Prop.INFERENCE),
            *(step_h, AnyLayout((rows, size)), None, step_a),
            attributes=attributes,
        )
        self._packed = self._primitive.layout(Query.WEIGHTS, (rows, size))
        self._factors = OneDnnTensor(backend.reorders, (1, rows))
        self._factors.set(factors.reshape(1, rows))
        self._steps = list(zip(h.steps(step_h), a.steps(step_a), strict=True))
        self._weights = 0
        self._runs: list[Callable[[], int]] = []

    def use(self, w: OneDnnTensor) -> None:
        """Pack the current weights, (rows, D)."""
        weights = w.source(self._packed)
        if weights == self._weights:
            return
        factors = self._factors.source(Layout.plain(self._factors.shape))
        # The factors belong to the second post-op.
        ports = (Arg.SRC, Arg.WEIGHTS, Arg.POST_OP * 2 | Arg.SRC_1, Arg.DST)
        self._runs = [self._primitive.bind(ports, (h, weights, factors, a)) for h, a in self._steps]
        self._weights = weights

    def __call__(self, t: int) -> None:
        """Overwrite a[t]."""
        check_onednn(self._runs[t](), "a time step")


class OneDnnRecurrent(OneDnnKernel[RecurrentOp]):
    """Base of LSTM and RNN.

    The parameters begin with w_x, b and, with static, w_s; w_h follows.

    Attributes
    ----------
    a, da : OneDnnTensor
        (T, N, rows): the sum of inputs and states times their weights and the bias; its gradient.
    h_before : OneDnnTensor
        (T, N, D): cont[t] h[t-1].
    dh : OneDnnTensor
        (N, D): the gradient of the state after a step.
    cont : array (T, N, 1)
    step_product : StepProduct
        With w_h; set by the subclass.
    """

    step_product: StepProduct

    def __init__(
        self,
        backend: OneDnnBackend,
        op: RecurrentOp,
        x: Tensor,
        cont: Tensor,
        y: Tensor,
        *params: Tensor,
    ) -> None:
        super().__init__(backend, op, x, cont, y, *params)
        self.steps, self.streams, self.size = y.shape
        self._rows = params[0].shape[0]
        self.recurrent = 3 if op.static else 2
        every, one = (*y.shape[:2], self._rows), (self.streams, self._rows)
        self.a, self.da, self.h_before = map(self.new, (every, every, y.shape))
        self.dh, self._share, self._total = self.new(y.shape[1:]), self.new(one), self.new(one)
        self.cont: Array = np.zeros((*y.shape[:2], 1), np.float32)
        self._inputs = self.product(x, params[0], self.a, bias=True)
        self._states = self.product(self.h_before, params[self.recurrent], self.a)
        # Plain weights: packed ones are slower for large states (measured on AVX2).
        sizes = (self.streams, self.size, self._rows)
        self._product_back = Sgemm(backend.engine, backend.native, (b"N", b"N"), sizes)
        self._static: OneDnnInnerProduct | None = None
        if op.static:
            static = self.new((self.streams, params[2].shape[1]))
            self._static = self.product(static, params[2], self._share)

    def new(self, shape: Shape) -> OneDnnTensor:
        """Return a tensor owned by the kernel."""
        return OneDnnTensor(self.backend.reorders, shape)

    def product(self, x: Tensor, w: Tensor, y: Tensor, bias: bool = False) -> OneDnnInnerProduct:
        """Return the inner product along the last axis of y."""
        op = InnerProduct(len(y.shape) - 1, transpose=False, bias=bias)
        return OneDnnInnerProduct(self.backend, op, x, w, y)

    def begin_forward(self, inputs: Inputs, cont: OneDnnTensor) -> None:
        """Overwrite a with the product of all inputs plus the bias; set h_before[0] and cont."""
        self.cont[...] = cont.read()[:, :, None]
        w_x, b = inputs.params[:2]
        self._inputs.forward(inputs.x, w_x, b, self.a)
        if self._static is not None:
            self._static.forward(inputs.static, inputs.params[2], None, self._share)
            a = self.a.update()
            a += self._share.read()
        h = inputs.start[0].read().reshape(self.streams, self.size)
        np.multiply(h, self.cont[0], out=self.h_before.write()[0])
        self.step_product.use(inputs.params[self.recurrent])

    def run_forward(self, h: Array, finish_step: Callable[[int], None] | None = None) -> None:
        """Run all time steps.

        Parameters
        ----------
        h : array (T, N, D)
            The states after each step, which a step overwrites.
        finish_step : callable, optional
            Computes h[t] from a[t].
        """
        before = self.h_before.update()
        for t in range(self.steps):
            self.step_product(t)
            if finish_step is not None:
                finish_step(t)
            if t + 1 < self.steps:
                np.multiply(h[t], self.cont[t + 1], out=before[t + 1])

    def begin_backward(self, w: OneDnnTensor, dend: OneDnnTensor | None) -> Callable[[int], None]:
        """Overwrite dh with the gradient of the state after the last step.

        Returns
        -------
        callable
            Takes a step t and overwrites dh with the gradient of h[t-1], computed from da[t].
        """
        dh = self.dh.write()
        dh[...] = 0 if dend is None else dend.read().reshape(dh.shape)
        step_bytes, product = self.streams * self._rows * FLOAT_BYTES, self._product_back
        weights, start, out = w.address(), self.da.address(), self.dh.address()

        def step_back(t: int) -> None:
            product(start + t * step_bytes, weights, out)
            np.multiply(dh, self.cont[t], out=dh)

        return step_back

    def finish_backward(self, inputs: Inputs, gradients: Inputs) -> None:
        """Overwrite the gradients of the inputs and add to those of the parameters, from da."""
        dw = gradients.params
        self._inputs.backward_weights(inputs.x, self.da, dw[0], dw[1])
        self._states.backward_weights(self.h_before, self.da, dw[self.recurrent], None)
        if gradients.x is not None:
            self._inputs.backward_data(self.da, inputs.params[0], gradients.x)
        if self._static is not None:
            np.add.reduce(self.da.read(), axis=0, out=self._total.write())
            self._static.backward_weights(inputs.static, self._total, dw[2], None)
            if gradients.static is not None:
                self._static.backward_data(self._total, inputs.params[2], gradients.static)


def write_states(states: Sequence[Tensor | None], *values: Array) -> None:
    """Overwrite states, or their gradients, except those that are None."""
    for state, array in zip(states, values, strict=True):
        if state is not None:
            state.write()[...] = array.reshape(state.shape)
