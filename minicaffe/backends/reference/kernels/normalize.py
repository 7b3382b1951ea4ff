"""Division of vectors by their norms."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.activation import sign
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.normalize import Normalize


@kernel(Normalize)
class ReferenceNormalize(ReferenceKernel[Normalize]):
    """Normalise, and the gradient."""

    def __init__(self, backend: ReferenceBackend, op: Normalize, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        n, *sizes = tensors[0].shape
        length = math.prod(sizes if op.across_pixels else sizes[:1])
        pixels = 1 if op.across_pixels else math.prod(sizes[1:])
        # All arrays are viewed so that the vectors lie along the middle axis.
        self._shape, self._norms = (n, length, pixels), (n, 1, pixels)

    def forward(self, x: Tensor, y: Tensor, norms: Tensor) -> None:
        """Overwrite y and norms."""
        xp, values = self.xp, x.read().reshape(self._shape)
        if self.op.norm == "L2":
            lengths = xp.sqrt(xp.einsum("nkp,nkp->np", values, values) + self.op.eps)
        else:
            lengths = xp.abs(values).sum(1) + self.op.eps
        lengths = lengths[:, None]
        norms.write().reshape(self._norms)[...] = lengths
        xp.divide(values, lengths, out=y.write().reshape(self._shape))

    def backward(
        self, y: Tensor, norms: Tensor, dy: Tensor, dx: Tensor, dnorms: Tensor | None = None
    ) -> None:
        """Overwrite dx."""
        unit, given = (tensor.read().reshape(self._shape) for tensor in (y, dy))
        slope: Array = unit if self.op.norm == "L2" else sign(self.xp, unit)
        radial = self.xp.einsum("nkp,nkp->np", given, unit)[:, None]
        gradient = (given - slope * radial) / norms.read().reshape(self._norms)
        if dnorms is not None:
            gradient += slope * dnorms.read().reshape(self._norms)
        dx.write().reshape(self._shape)[...] = gradient
