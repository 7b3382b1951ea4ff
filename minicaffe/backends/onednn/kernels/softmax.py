"""Softmax with oneDNN, and its loss in C or, with class weights or smoothing, in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._non_finite import has_finite_values
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.native import ThreadedFunction
from minicaffe.backends.onednn.runtime.primitive import Engine, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.reference.kernels.softmax import ReferenceSoftmaxLoss, softmax
from minicaffe.native.library import NativeLibrary
from minicaffe.ops.backend import Tensor
from minicaffe.ops.softmax import Softmax, SoftmaxLoss

# Multiply-adds that an exponential function takes about as long as.
OPERATIONS_OF_EXP = 10


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
def plan_softmax_loss(
    backend: OneDnnBackend, op: SoftmaxLoss, *tensors: Tensor
) -> ReferenceSoftmaxLoss:
    """Return the kernel in C, or the one for class weights, smoothing and no compiler."""
    is_simple = not op.class_weights and not op.smoothing
    if backend.native is None or not is_simple:
        return OneDnnSoftmaxLoss(backend, op, *tensors)
    return NativeSoftmaxLoss(backend, backend.native, op, *tensors)


class OneDnnSoftmaxLoss(ReferenceSoftmaxLoss):
    """Softmax and multinomial logistic loss; probabilities are plain, as labels index them."""

    backend: OneDnnBackend

    def __init__(self, backend: OneDnnBackend, op: SoftmaxLoss, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._softmax = plan_softmax(backend.engine, Layout.plain(tensors[0].shape), op.axis)

    def _probabilities(self, x: Any, p: Any) -> None:  # Any: tensors of this backend
        run_softmax(self.backend, self._softmax, x, p, self.op.axis)


class NativeSoftmaxLoss(ReferenceSoftmaxLoss):
    """Softmax and multinomial logistic loss in one pass, summed in double precision."""

    def __init__(
        self, backend: OneDnnBackend, native: NativeLibrary, op: SoftmaxLoss, *tensors: Tensor
    ) -> None:
        super().__init__(backend, op, *tensors)
        ignored = op.ignore_label
        work = OPERATIONS_OF_EXP * math.prod(self._shape)
        self._forward, self._backward = (
            ThreadedFunction(backend.engine, native.lookup(name), work)
            for name in ("softmax_loss_forward", "softmax_loss_backward")
        )
        parts = self._forward.threads
        sizes = (*self._shape, ignored is not None, ignored or 0, parts)
        self._sizes = np.array(sizes, np.int64)
        # Of each part: the loss, labels that count, labels that are no class.
        self._sums = np.zeros((parts, 3), np.float64)
        self._addresses = self._sizes.ctypes.data, self._sums.ctypes.data
        self._divisor = 1.0

    # Any: tensors of this backend.
    def forward(self, x: Any, labels: Any, p: Any, loss: Any) -> None:
        """Overwrite p and loss."""
        sizes, sums = self._addresses
        given = x.address(), labels.address()
        self._forward(sizes, *given, p.address_to_write(), sums)
        total, counted, wrong = self._sums.sum(0).tolist()
        if wrong:
            self._classes(labels)  # raises the error
        self._divisor = self._divide_by(counted)
        loss.write()[...] = total / self._divisor

    def backward(self, p: Any, labels: Any, dloss: Any, dx: Any) -> None:
        """Overwrite dx."""
        rate = float(dloss.read().reshape(())) / self._divisor
        given = p.address(), labels.address(), rate
        self._backward(self._addresses[0], *given, dx.address_to_write())

    def _divide_by(self, counted: float) -> float:
        outer, _, inner = self._shape
        choice = self.op.normalization
        if isinstance(choice, float):
            return choice
        known = {"full": outer * inner, "valid": counted, "batch_size": outer, "none": 1}
        return max(known[choice], 1)


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
