"""Dropout with 16 random bits per element, four elements from each 64-bit draw."""

from __future__ import annotations

import numpy as np

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
        size = self.mask.size
        words = stream.generator().bit_generator.random_raw(-(-size // 4))
        bits = self.xp.asarray(words.view(np.uint16)[:size]).reshape(self.mask.shape)
        threshold = round(self.op.ratio * 65536)
        self.mask[...] = bits >= threshold
        self.mask *= self.op.scale
        self.xp.multiply(x.read(), self.mask, out=y.write())

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        self.xp.multiply(dy.read(), self.mask, out=dx.write())
