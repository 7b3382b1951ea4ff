"""Randomized leaky ReLU."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.rrelu import RandomRelu
from minicaffe.random import RandomStream


@kernel(RandomRelu)
class ReferenceRandomRelu(ReferenceKernel[RandomRelu]):
    """Multiply by factors, which forward draws on the host and saves."""

    def __init__(self, backend: ReferenceBackend, op: RandomRelu, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._factors: Array = self.xp.ones(tensors[0].shape, backend.dtype)

    def forward(self, x: Tensor, y: Tensor, stream: RandomStream) -> None:
        """Overwrite y."""
        shape = self._factors.shape
        low, high = self.op.low, self.op.high
        divisors = low + (high - low) * stream.fine_shares(self._factors.size).reshape(shape)
        factors = self.xp.asarray((1 / divisors).astype(np.float32))
        values = x.read()
        self._factors[...] = self.xp.where(values > 0, 1, factors)
        self.xp.multiply(values, self._factors, out=y.write())

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        self.xp.multiply(dy.read(), self._factors, out=dx.write())
