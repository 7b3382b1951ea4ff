"""Products with a number for each channel, or each pixel, of a sample."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.axpy import Axpy, PixelScale
from minicaffe.ops.backend import Array, Shape, Tensor


def flat_images(shape: Shape) -> Shape:
    """Return the shape (N, C, pixels)."""
    return (*shape[:2], math.prod(shape[2:]))


@kernel(Axpy)
class ReferenceAxpy(ReferenceKernel[Axpy]):
    """Scaled channels plus another tensor."""

    def __init__(self, backend: ReferenceBackend, op: Axpy, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._shape = flat_images(tensors[1].shape)

    def forward(self, a: Tensor, x: Tensor, z: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        product = x.read().reshape(self._shape) * self._column(a.read())
        given = z.read().reshape(self._shape)
        self.xp.add(product, given, out=y.write().reshape(self._shape))

    def backward_factors(self, x: Tensor, dy: Tensor, da: Tensor) -> None:
        """Overwrite da."""
        values, given = (tensor.read().reshape(self._shape) for tensor in (x, dy))
        out = da.write()
        out[...] = self.xp.einsum("ncp,ncp->nc", values, given).reshape(out.shape)

    def backward_data(self, a: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        given, out = dy.read().reshape(self._shape), dx.write().reshape(self._shape)
        self.xp.multiply(given, self._column(a.read()), out=out)

    def _column(self, factors: Array) -> Array:
        return factors.reshape(*self._shape[:2], 1)


@kernel(PixelScale)
class ReferencePixelScale(ReferenceKernel[PixelScale]):
    """Every channel times one image of factors."""

    def __init__(self, backend: ReferenceBackend, op: PixelScale, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._shape = flat_images(tensors[0].shape)

    def forward(self, x: Tensor, s: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values, out = x.read().reshape(self._shape), y.write().reshape(self._shape)
        factors = s.read().reshape(self._shape[0], 1, self._shape[2])
        self.xp.multiply(values, factors, out=out)

    def backward_factors(self, x: Tensor, dy: Tensor, ds: Tensor) -> None:
        """Overwrite ds."""
        values, given = (tensor.read().reshape(self._shape) for tensor in (x, dy))
        out = ds.write()
        out[...] = self.xp.einsum("ncp,ncp->np", values, given).reshape(out.shape)
