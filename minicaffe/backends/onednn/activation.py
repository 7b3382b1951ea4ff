"""Functions of one number, in whatever layout the values have."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from minicaffe.backends.onednn._lib import Alg, Arg, Prop
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.memory import Layout
from minicaffe.backends.onednn.primitive import Call, Primitive
from minicaffe.backends.onednn.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.activation import Activation
from minicaffe.ops.backend import Follower, Tensor

# kind: the function, and its gradient as a function of y.
ALGORITHMS = {
    "relu": (Alg.ELTWISE_RELU, Alg.ELTWISE_RELU_USE_DST),
    "sigmoid": (Alg.ELTWISE_LOGISTIC, Alg.ELTWISE_LOGISTIC_USE_DST),
    "tanh": (Alg.ELTWISE_TANH, Alg.ELTWISE_TANH_USE_DST),
}


def starts_with_relu(followers: Sequence[Follower]) -> bool:
    """Return whether the first is the plain ReLU, which other kernels can apply on the way."""
    op = followers[0].op if followers else None
    return isinstance(op, Activation) and op.kind == "relu" and op.alpha == 0


@kernel(Activation)
class OneDnnActivation(OneDnnKernel):
    """One function; the gradient is computed from y."""

    def __init__(self, backend: OneDnnBackend, op: Activation, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        if op.kind not in ALGORITHMS:
            raise Unsupported(f"oneDNN has no kernel for {op.kind}")
        if op.kind == "relu" and op.alpha < 0:
            raise Unsupported("oneDNN's relu gradient needs a slope of at least 0")
        self._function, self._gradient = ALGORITHMS[op.kind]
        self._forward = functools.cache(self._plan_forward)
        self._backward = functools.cache(self._plan_backward)

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._forward(self._layout(x))(x, y)

    def backward(
        self, x: OneDnnTensor, y: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor
    ) -> None:
        """Overwrite dx."""
        self._backward(self._layout(y))(y, dy, dx)

    def _layout(self, tensor: OneDnnTensor) -> Layout:
        # A rectified bfloat16 is one again, without a slope; other functions are for float32 alone.
        is_exact = self.op.kind == "relu" and self.op.alpha == 0
        return tensor.stored if is_exact else tensor.layout

    def _plan_forward(self, layout: Layout) -> Call:
        given = (Prop.TRAINING, self._function, layout, layout, self.op.alpha, 0.0)
        primitive = Primitive(self.engine, "eltwise_forward", *given)
        return Call(primitive, [(Arg.SRC, layout)], [(Arg.DST, layout)])

    def _plan_backward(self, layout: Layout) -> Call:
        alpha = self.op.alpha
        hint = Primitive(
            *(self.engine, "eltwise_forward", Prop.TRAINING, self._gradient, layout, layout),
            *(alpha, 0.0),
        )
        primitive = Primitive(
            *(self.engine, "eltwise_backward", self._gradient, layout, layout, layout, alpha, 0.0),
            hint=hint,
        )
        reads = [(Arg.DST, layout), (Arg.DIFF_DST, layout)]
        return Call(primitive, reads, [(Arg.DIFF_SRC, layout)])
