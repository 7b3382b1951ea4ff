"""Scale and bias of channels, as batch normalisation with mean 0 and standard deviation 1.

That primitive computes the same values, and both gradients in a single pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.kernels._batch_norm_primitives import BatchNormPrimitives
from minicaffe.backends.onednn.runtime.images import images_layout
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
        call = self._primitives.forward(self._layout, self._rectifies)
        call(x, self._zeros, self._halves, s, b or self._zeros, y)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse a ReLU of y."""
        self._rectifies = starts_with_relu(epilogue)
        return int(self._rectifies)

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
