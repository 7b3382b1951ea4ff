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
        planes = _planes(out)
        at = self._positions(mask, planes)
        self.xp.put_along_axis(planes, at, _planes(x.read()), 2)

    def backward(self, mask: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        planes = _planes(dy.read())
        at = self._positions(mask, planes)
        _planes(dx.write())[...] = self.xp.take_along_axis(planes, at, 2)

    def _positions(self, mask: Tensor, planes: Array) -> Array:
        return pixel_numbers(self.xp, _planes(mask.read()), planes.shape[2])


def _planes(images: Array) -> Array:
    """Return (N, C, H, W) as (N, C, H W)."""
    n, c, h, w = images.shape
    return images.reshape(n, c, h * w)
