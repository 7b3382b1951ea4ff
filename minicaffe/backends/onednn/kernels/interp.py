"""Bilinear interpolation as two products with small matrices, in the layout of the input.

The library's resampling places pixels by their centres, so that its corners are not aligned.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._channel_blocks import BlockedImages
from minicaffe.backends.onednn.kernels._non_finite import has_finite_values, without_warnings
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.reference.kernels.interp import ReferenceInterp, Weights
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.interp import Interp

# A tensor and the layout to use it in.
_Side: TypeAlias = tuple[OneDnnTensor, BlockedImages]


class _Resize(NamedTuple):
    """Matrices of the weights: rows (h', h) and columns (w', w) times images (h, w)."""

    rows: Array
    columns: Array

    def __call__(self, image: Array, out: Array) -> None:
        """Overwrite (h', w' block) with an image (h, w block) resized."""
        height, width = self.columns.shape
        mixed = self.rows @ image
        if mixed.shape[1] == width:
            np.matmul(mixed, self.columns.T, out=out)
        else:
            block = mixed.shape[1] // width
            pixels = mixed.reshape(len(mixed), width, block)
            np.matmul(self.columns, pixels, out=out.reshape(len(out), height, block))


@kernel(Interp)
class OneDnnInterp(OneDnnKernel[Interp]):
    """Resize, and distribute the gradient; one row of blocks of channels after the other."""

    def __init__(self, backend: OneDnnBackend, op: Interp, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._x, self._y = (tensor.shape for tensor in tensors)
        sizes = zip(self._x[2:], self._y[2:], strict=True)
        rows, columns = (
            Weights.along(np, n, m, op.crop, np.float32).matrix(np, n) for n, m in sizes
        )
        self._forward = _Resize(rows, columns)
        self._backward = _Resize(*(np.ascontiguousarray(m.T) for m in (rows, columns)))
        # Computes a pass over values that are not finite: products with 0 would spread NaN.
        self._substitute = ReferenceInterp(backend, op, *tensors)
        self._images = BlockedImages.plain(self._x), BlockedImages.plain(self._y)

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        if not has_finite_values(self.backend, x):
            self._images = BlockedImages.plain(self._x), BlockedImages.plain(self._y)
            without_warnings(self._substitute.forward, x, y)
            return
        images = BlockedImages.of(x)
        resized = images.resized(self.engine, self._y)
        # Both in layouts of one kind.
        self._images = images if resized.block == images.block else images.plain(self._x), resized
        self._run(self._forward, (x, self._images[0]), (y, self._images[1]))

    def backward(self, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx, in the layout of x."""
        self._run(self._backward, (dy, self._images[1]), (dx, self._images[0]))

    def _run(self, resize: _Resize, source: _Side, target: _Side) -> None:
        (x, read), (y, written) = source, target
        if self.op.is_copy(self._x, self._y):
            y.copy_from(x)
            return
        images = read.read(x).reshape(-1, x.shape[2], x.shape[3] * read.block)
        out = written.write(y).reshape(-1, y.shape[2], y.shape[3] * written.block)

        def run(thread: int) -> None:
            with np.errstate(all="ignore"):
                for i in range(thread, len(images), self.backend.threads):
                    resize(images[i], out[i])

        self.backend.spread(run, len(images))
        y.write_back()
