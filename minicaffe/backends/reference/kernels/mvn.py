"""Mean and variance normalisation of single samples."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.mvn import Mvn


@kernel(Mvn)
class ReferenceMvn(ReferenceKernel[Mvn]):
    """Mean and variance normalisation; forward saves the normalised x and the divisors."""

    def __init__(self, backend: ReferenceBackend, op: Mvn, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        shape = tensors[0].shape
        self.shape = (math.prod(shape[: op.first_axis]), math.prod(shape[op.first_axis :]))
        self.normal: Array = None
        self.divisor: Array = None

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        if not math.prod(self.shape):
            return
        rows = x.read().reshape(self.shape)
        self.normal = rows - rows.mean(1, keepdims=True)
        if self.op.divide:
            variance = (self.normal * self.normal).mean(1, keepdims=True)
            self.divisor = self.xp.sqrt(variance) + self.op.eps
            self.normal /= self.divisor
        out = y.write()
        out[...] = self.normal.reshape(out.shape)

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        if not math.prod(self.shape):
            return
        rows = dy.read().reshape(self.shape)
        inner = rows - rows.mean(1, keepdims=True)
        if self.op.divide:
            inner -= self.normal * (rows * self.normal).mean(1, keepdims=True)
            inner /= self.divisor
        out = dx.write()
        out[...] = inner.reshape(out.shape)
