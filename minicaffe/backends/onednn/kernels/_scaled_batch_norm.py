"""Batch normalisation, Scale and ReLU while training, as one primitive each way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.runtime.images import images_layout
from minicaffe.backends.onednn.runtime.library import FUSE_RELU, USE_SCALE, USE_SHIFT, Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Call, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.activation import Relu
from minicaffe.ops.backend import EpilogueOp, Tensor

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend


class ScaledBatchNorm:
    """y = relu(s (x - mu) / sqrt(var + eps) + b), and all its gradients.

    Parameters
    ----------
    backend : OneDnnBackend
    eps : float
    y : OneDnnTensor
        What it overwrites, for its shape.
    scale : EpilogueOp
        The Scale layer: s, b if it has one, and their gradients.
    rectifies : bool
        Whether there is a ReLU.
    """

    def __init__(
        self, backend: OneDnnBackend, eps: float, y: Tensor, scale: EpilogueOp, rectifies: bool
    ) -> None:
        self._engine, self._eps, self._scale = backend.engine, eps, scale
        self._flags = USE_SCALE | USE_SHIFT | (FUSE_RELU if rectifies else 0)
        self._channels = scale.parameters()[0].shape
        self._zeros = OneDnnTensor(backend.reorders, self._channels)
        self._relu = backend.plan(Relu(), y, y) if rectifies else None
        self._factor = backend.plan(scale.op, y, scale.parameters()[0], y)
        self._accumulate = Accumulator(backend)
        self._forward = cache_method(self._plan_forward)
        self._backward = cache_method(self._plan_backward)

    def forward(
        self, x: OneDnnTensor, y: OneDnnTensor, mu: OneDnnTensor, var: OneDnnTensor
    ) -> None:
        """Overwrite y, mu and var."""
        self._layout = images_layout(x)
        parameters: Sequence[Any] = self._scale.parameters()
        s, b = parameters if len(parameters) > 1 else (*parameters, self._zeros)
        self._forward(self._layout)(x, s, b, y, mu, var)

    def backward(
        self,
        x: OneDnnTensor,
        mu: OneDnnTensor,
        var: OneDnnTensor,
        dy: OneDnnTensor,
        dx: OneDnnTensor,
    ) -> None:
        """Overwrite dx, add to the gradients of s and b."""
        call = self._backward(self._layout)
        s: Any = self._scale.parameters()[0]
        gradients: Sequence[Any] = self._scale.gradients()
        fixed = (x, mu, var, s, dy, dx)
        # Different shapes, as each has a place of its own to be summed up in.
        shapes = (self._channels, (*self._channels, 1))
        self._accumulate(lambda *parts: call(*fixed, *parts), gradients, shapes)

    def leave_gradient(self, y: OneDnnTensor, dy: OneDnnTensor) -> None:
        """Overwrite dy as ReLU and Scale do, which work in place on it: people look at it."""
        if self._relu is not None:
            self._relu.backward(y, y, dy, dy)
        s: Any = self._scale.parameters()[0]
        self._factor.backward_data(dy, s, dy)

    def _plan_forward(self, layout: Layout) -> Call:
        given = (Prop.TRAINING, layout, layout, self._eps, self._flags)
        primitive = Primitive(self._engine, "batch_normalization_forward", *given)
        primitive.use_workspace(primitive.new_workspace())
        mu, var, s, b = self._ports(Arg.MEAN, Arg.VARIANCE, Arg.SCALE, Arg.SHIFT)
        return Call(primitive, [(Arg.SRC, layout), s, b], [(Arg.DST, layout), mu, var])

    def _plan_backward(self, layout: Layout) -> Call:
        hint = self._forward(layout).primitive
        given = (Prop.BACKWARD, layout, layout, layout, self._eps, self._flags)
        primitive = Primitive(self._engine, "batch_normalization_backward", *given, hint=hint)
        primitive.use_workspace(hint.workspace)
        statistics = self._ports(Arg.MEAN, Arg.VARIANCE, Arg.SCALE)
        reads = [(Arg.SRC, layout), *statistics, (Arg.DIFF_DST, layout)]
        sums = self._ports(Arg.DIFF_SCALE, Arg.DIFF_SHIFT)
        return Call(primitive, reads, [(Arg.DIFF_SRC, layout), *sums])

    def _ports(self, *arguments: Arg) -> list[tuple[int, Layout]]:
        layout = Layout.plain(self._channels)
        return [(argument, layout) for argument in arguments]
