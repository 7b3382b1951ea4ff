"""A factor and a bias for each channel: batch normalisation with mean 0 and deviation 1.

That primitive computes what a Scale layer computes, backward in a single pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.runtime.images import images_layout
from minicaffe.backends.onednn.runtime.library import (
    USE_GLOBAL_STATS,
    USE_SCALE,
    USE_SHIFT,
    Alg,
    Arg,
    Prop,
)
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, Call, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.activation import starts_with_relu
from minicaffe.ops.backend import EpilogueOp, Tensor
from minicaffe.ops.scale import Scale

# Variance and epsilon, whose sum is 1. With no epsilon the padding of packed layouts, where the
# variance is 0, would become not a number.
HALF = 0.5


@kernel(Scale)
class OneDnnScale(OneDnnKernel):
    """Product and sum with one number for each channel."""

    def __init__(self, backend: OneDnnBackend, op: Scale, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, s, y = tensors[:3]
        if op.axis != 1 or s.shape != x.shape[1:2]:
            raise Unsupported("oneDNN scales channels only")
        self._channels = s.shape
        self._flags = USE_GLOBAL_STATS | USE_SCALE | USE_SHIFT
        self._zeros = OneDnnTensor(backend.reorders, s.shape)
        self._halves = OneDnnTensor(backend.reorders, s.shape)
        self._halves.set(np.full(s.shape, HALF))
        self._kept = OneDnnTensor(backend.reorders, x.shape) if x is y else None
        self._dx = OneDnnTensor(backend.reorders, x.shape)
        self._factor: OneDnnTensor = self._halves
        self._accumulate = Accumulator(backend)
        self._is_rectified = False
        self._forward = cache_method(self._plan_forward)
        self._backward = cache_method(self._plan_backward)

    def forward(
        self, x: OneDnnTensor, s: OneDnnTensor, b: OneDnnTensor | None, y: OneDnnTensor
    ) -> None:
        """Overwrite y."""
        self._layout = images_layout(x)
        if self._kept is not None:
            self._kept.take_from(x, self._layout)
            x = self._kept
        self._factor = s
        call = self._forward(self._layout, self._is_rectified)
        call(x, self._zeros, self._halves, s, b or self._zeros, y)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Apply a ReLU to y in the same pass."""
        self._is_rectified = starts_with_relu(epilogue)
        return int(self._is_rectified)

    def backward_weights(
        self,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        ds: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Add to ds and db."""
        values, call = self._kept or x, self._backward(self._layout)
        fixed = (values, self._zeros, self._halves, self._factor, dy, self._dx)
        shapes = (self._channels, (*self._channels, 1))
        self._accumulate(lambda *parts: call(*fixed, *parts), (ds, db), shapes)

    def backward_data(self, dy: OneDnnTensor, s: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        # As a forward pass: dx = dy * s.
        self._forward(images_layout(dy))(dy, self._zeros, self._halves, s, self._zeros, dx)

    def _plan_forward(self, layout: Layout, rectifies: bool = False) -> Call:
        # As stored statistics serve, nothing is lost in the form for inference, which takes a ReLU.
        given = (Prop.INFERENCE if rectifies else Prop.TRAINING, layout, layout, HALF, self._flags)
        attributes = Attributes().eltwise(Alg.ELTWISE_RELU) if rectifies else None
        primitive = Primitive(
            self.engine, "batch_normalization_forward", *given, attributes=attributes
        )
        numbers = Layout.plain(self._channels)
        fixed = [(arg, numbers) for arg in (Arg.MEAN, Arg.VARIANCE, Arg.SCALE, Arg.SHIFT)]
        return Call(primitive, [(Arg.SRC, layout), *fixed], [(Arg.DST, layout)])

    def _plan_backward(self, layout: Layout) -> Call:
        hint = self._forward(layout).primitive
        given = (Prop.BACKWARD, layout, layout, layout, HALF, self._flags)
        primitive = Primitive(self.engine, "batch_normalization_backward", *given, hint=hint)
        numbers = Layout.plain(self._channels)
        fixed = [(arg, numbers) for arg in (Arg.MEAN, Arg.VARIANCE, Arg.SCALE)]
        sums = [(Arg.DIFF_SCALE, numbers), (Arg.DIFF_SHIFT, numbers)]
        reads = [(Arg.SRC, layout), *fixed, (Arg.DIFF_DST, layout)]
        return Call(primitive, reads, [(Arg.DIFF_SRC, layout), *sums])
