"""Larger images by repetition or by stored positions."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import pixel_numbers
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.upsample import RepeatPixels, Unpool


@kernel(RepeatPixels)
class ReferenceRepeatPixels(ReferenceKernel[RepeatPixels]):
    """Repeat pixels, and sum their gradients."""

    def __init__(self, backend: ReferenceBackend, op: RepeatPixels, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        n, c, h, w = tensors[0].shape
        self._blocks = (n, c, h, op.factors[0], w, op.factors[1])

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        y.write().reshape(self._blocks)[...] = x.read()[:, :, :, None, :, None]

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        blocks, out = dy.read().reshape(self._blocks), dx.write()
        out[...] = 0
        # A pass for each place in a block is several times as fast as a sum over short axes.
        for i, j in np.ndindex(*self.op.factors):
            out += blocks[:, :, :, i, :, j]


@kernel(Unpool)
class ReferenceUnpool(ReferenceKernel[Unpool]):
    """Scatter values, and gather their gradients."""

    def forward(self, x: Tensor, mask: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        out = y.write()
        out[...] = 0
        out.reshape(-1)[self._positions(mask, out)] = x.read().reshape(-1)

    def backward(self, mask: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        given = dy.read()
        dx.write().reshape(-1)[...] = given.reshape(-1)[self._positions(mask, given)]

    def _positions(self, mask: Tensor, wide: Array) -> Array:
        """Return where each value lies among all those of y."""
        n, c, h, w = wide.shape
        at = pixel_numbers(self.xp, mask.read(), h * w)
        at += self.xp.arange(n * c).reshape(n, c, 1, 1) * (h * w)
        return at.reshape(-1)
