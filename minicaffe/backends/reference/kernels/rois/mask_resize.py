"""Linear interpolation from the first pixel on, by matrices of weights."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.rois.mask_resize import MaskResize


@kernel(MaskResize)
class ReferenceMaskResize(ReferenceKernel[MaskResize]):
    """Products with the matrices of rows and columns."""

    def __init__(self, backend: ReferenceBackend, op: MaskResize, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        sizes = zip(tensors[0].shape[2:], tensors[1].shape[2:], strict=True)
        self._rows, self._columns = (self._weights(n, m) for n, m in sizes)

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        y.write()[...] = self._rows @ (x.read() @ self._columns.T)

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        dx.write()[...] = self._rows.T @ (dy.read() @ self._columns)

    def _weights(self, n: int, m: int) -> Array:
        """Return the weights of n pixels for each of m, (m, n)."""
        at = np.minimum(np.arange(m) * n / m, n - 1)
        near = np.maximum(1 - np.abs(at[:, None] - np.arange(n)), 0)
        return self.xp.asarray(near, dtype=self.backend.dtype)
