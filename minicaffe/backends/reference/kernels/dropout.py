"""Dropout with 16 random bits per element."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.dropout import Dropout
from minicaffe.random import RandomStream


@kernel(Dropout)
class ReferenceDropout(ReferenceKernel[Dropout]):
    """Dropout; forward saves the scaled mask."""

    def __init__(self, backend: ReferenceBackend, op: Dropout, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self.mask: Array = self.xp.zeros(tensors[0].shape, backend.dtype)

    def forward(self, x: Tensor, y: Tensor, stream: RandomStream) -> None:
        """Overwrite y."""
        bits = self.xp.asarray(stream.bits(self.mask.size)).reshape(self.mask.shape)
        threshold = round(self.op.ratio * 65536)
        self.mask[...] = bits >= threshold
        self.mask *= self.op.scale
        self.xp.multiply(x.read(), self.mask, out=y.write())

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        self.xp.multiply(dy.read(), self.mask, out=dx.write())
