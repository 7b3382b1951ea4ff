"""Bilinear interpolation with aligned corners."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, ArrayModule, Tensor
from minicaffe.ops.interp import Interp


class Weights(NamedTuple):
    """Where each of m pixels along an axis lies between those of the image, arrays (m,).

    y[i] = near[i] * x[low[i]] + far[i] * x[high[i]].
    """

    low: Array
    high: Array
    near: Array
    far: Array

    @classmethod
    def along(
        cls, xp: ArrayModule, n: int, m: int, crop: tuple[int, int], dtype: npt.DTypeLike
    ) -> Weights:
        """Return the weights of m pixels over n, of which `crop` are left out at the ends."""
        last = n - sum(crop) - 1
        # Whole numbers decide which pixels are neighbours: i * last / (m - 1) without rounding.
        low, rest = np.divmod(np.arange(m) * last, max(m - 1, 1))
        far = rest / max(m - 1, 1)
        high = np.minimum(low + 1, last)
        numbers = (low + crop[0], high + crop[0], (1 - far).astype(dtype), far.astype(dtype))
        return cls(*map(xp.asarray, numbers))

    def matrix(self, xp: ArrayModule, n: int) -> Array:
        """Return the weights as an (m, n) matrix."""
        matrix = xp.zeros((len(self.low), n), self.near.dtype)
        rows = xp.arange(len(self.low))
        matrix[rows, self.low] = self.near
        matrix[rows, self.high] += self.far
        return matrix


@kernel(Interp)
class ReferenceInterp(ReferenceKernel[Interp]):
    """Gather forward; products with the matrices of the weights backward."""

    def __init__(self, backend: ReferenceBackend, op: Interp, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._is_copy = op.is_copy(*(tensor.shape for tensor in tensors))
        sizes = zip(tensors[0].shape[2:], tensors[1].shape[2:], strict=True)
        self._rows, self._columns = (
            Weights.along(self.xp, n, m, op.crop, backend.dtype) for n, m in sizes
        )
        h, w = tensors[0].shape[2:]
        self._row_matrix = self._rows.matrix(self.xp, h)
        self._column_matrix = self._columns.matrix(self.xp, w)

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        if self._is_copy:
            y.write()[...] = x.read()
            return
        values, rows, columns = x.read(), self._rows, self._columns
        near, far = values[:, :, rows.low] * rows.near[:, None], rows.far[:, None]
        mixed = near + values[:, :, rows.high] * far
        y.write()[...] = (
            mixed[..., columns.low] * columns.near + mixed[..., columns.high] * columns.far
        )

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        if self._is_copy:
            dx.write()[...] = dy.read()
            return
        dx.write()[...] = self._row_matrix.T @ (dy.read() @ self._column_matrix)
