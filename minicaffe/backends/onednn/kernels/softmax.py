"""Softmax and its loss: oneDNN's softmax, and the reference's code for labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._non_finite import has_finite_values
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Engine, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.reference.kernels.softmax import ReferenceSoftmaxLoss, softmax
from minicaffe.ops.backend import Tensor
from minicaffe.ops.softmax import Softmax, SoftmaxLoss


@kernel(Softmax)
class OneDnnSoftmax(OneDnnKernel[Softmax]):
    """Softmax in the layout of x."""

    def __init__(self, backend: OneDnnBackend, op: Softmax, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._forward = cache_method(self._plan_forward)
        self._backward = cache_method(self._plan_backward)

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        run_softmax(self.backend, self._forward(x.layout), x, y, self.op.axis)

    def backward(self, y: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        self._backward(y.layout)(y, dy, dx)

    def _plan_forward(self, layout: Layout) -> Call:
        return plan_softmax(self.engine, layout, self.op.axis)

    def _plan_backward(self, layout: Layout) -> Call:
        primitive = Primitive(
            *(self.engine, "softmax_backward", Alg.SOFTMAX_ACCURATE),
            *(layout, layout, layout, self.op.axis),
            hint=self._forward(layout).primitive,
        )
        reads = [(Arg.DST, layout), (Arg.DIFF_DST, layout)]
        return Call(primitive, reads, [(Arg.DIFF_SRC, layout)])


@kernel(SoftmaxLoss)
class OneDnnSoftmaxLoss(ReferenceSoftmaxLoss):
    """Softmax and multinomial logistic loss; probabilities are plain, as labels index them."""

    backend: OneDnnBackend

    def __init__(self, backend: OneDnnBackend, op: SoftmaxLoss, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._softmax = plan_softmax(backend.engine, Layout.plain(tensors[0].shape), op.axis)

    def _probabilities(self, x: Any, p: Any) -> None:  # Any: tensors of this backend
        run_softmax(self.backend, self._softmax, x, p, self.op.axis)


def run_softmax(
    backend: OneDnnBackend, call: Call, x: OneDnnTensor, y: OneDnnTensor, axis: int
) -> None:
    """Overwrite y with the softmax of x, which is NaN in rows with NaN or infinity."""
    if has_finite_values(backend, x):
        call(x, y)
    else:
        # The primitive would make only these values NaN, and the others of the row 0.
        with np.errstate(invalid="ignore"):
            y.write()[...] = softmax(np, x.read(), axis)


def plan_softmax(engine: Engine, layout: Layout, axis: int) -> Call:
    """Return a softmax with x and y in one layout."""
    arguments = (Prop.TRAINING, Alg.SOFTMAX_ACCURATE, layout, layout, axis)
    primitive = Primitive(engine, "softmax_forward", *arguments)
    return Call(primitive, [(Arg.SRC, layout)], [(Arg.DST, layout)])
