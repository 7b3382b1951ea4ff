"""Scale and bias of channels, as batch normalisation with mean 0 and standard deviation 1.

That primitive computes the same values, and both gradients in a single pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.kernels._batch_norm_primitives import BatchNormPrimitives
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.images import images_layout
from minicaffe.backends.onednn.runtime.library import Alg, Arg
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.activation import starts_with_relu
from minicaffe.ops.backend import EpilogueOp, Tensor
from minicaffe.ops.scale import Scale

# Variance and epsilon, whose sum is 1. Without an epsilon the padding of packed layouts, where the
# variance is 0, would become NaN.
HALF = 0.5


@kernel(Scale)
class OneDnnScale(OneDnnKernel[Scale]):
    """y = s x + b with one s and b for each channel."""

    def __init__(self, backend: OneDnnBackend, op: Scale, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, s, y = tensors[:3]
        if op.axis != 1 or s.shape != x.shape[1:2]:
            raise Unsupported("oneDNN scales channels only")
        self._channels = s.shape
        self._zeros = OneDnnTensor(backend.reorders, s.shape)
        self._halves = OneDnnTensor(backend.reorders, s.shape)
        self._halves.set(np.full(s.shape, HALF))
        self._saved_x = OneDnnTensor(backend.reorders, x.shape) if x is y else None
        self._unused_dx = OneDnnTensor(backend.reorders, x.shape)
        self._factor: OneDnnTensor = self._halves
        self._accumulate = Accumulator(backend)
        self._rectifies = False
        self._rectified = cache_method(self._plan_rectified)
        self._primitives = BatchNormPrimitives(
            self.engine, s.shape, HALF, use_stored=True, scales=True
        )

    def forward(
        self, x: OneDnnTensor, s: OneDnnTensor, b: OneDnnTensor | None, y: OneDnnTensor
    ) -> None:
        """Overwrite y."""
        self._layout = images_layout(x)
        if self._saved_x is not None:
            self._saved_x.move_from(x, self._layout)
            x = self._saved_x
        self._factor = s
        if self._rectifies:
            self._rectified(self._layout)(x, s, b or self._zeros, y)
            return
        call = self._primitives.forward(self._layout)
        call(x, self._zeros, self._halves, s, b or self._zeros, y)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse a ReLU of y."""
        self._rectifies = starts_with_relu(epilogue)
        return int(self._rectifies)

    def _plan_rectified(self, layout: Layout) -> Call:
        # The library's batch normalisation accepts only its own ReLU, which replaces NaN by 0.
        shape = (1, *self._channels, *(1,) * (len(layout.shape) - 2))
        arguments = (self.engine, "binary", Alg.BINARY_MUL, layout)
        # There is no fast code for factors in another layout than the one that the library chooses.
        _, chosen = Primitive(*arguments, AnyLayout(shape), layout).port(Arg.SRC_1, shape)
        attributes = Attributes().binary(Alg.BINARY_ADD, chosen).relu()
        primitive = Primitive(*arguments, chosen, layout, attributes=attributes)
        ports = [(Arg.SRC, layout), (Arg.SRC_1, chosen), (Arg.POST_OP | Arg.SRC_1, chosen)]
        return Call(primitive, ports, [(Arg.DST, layout)])

    def backward_weights(
        self,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        ds: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Add to ds and db."""
        values, call = self._saved_x or x, self._primitives.backward(self._layout)
        operands = (values, self._zeros, self._halves, self._factor, dy, self._unused_dx)
        shapes = (self._channels, (*self._channels, 1))
        self._accumulate(lambda *results: call(*operands, *results), (ds, db), shapes)

    def backward_data(self, dy: OneDnnTensor, s: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        # dx = s dy is computed by the forward primitive.
        call = self._primitives.forward(images_layout(dy))
        call(dy, self._zeros, self._halves, s, self._zeros, dx)
