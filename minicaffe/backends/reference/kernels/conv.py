"""Convolution as im2col and one matrix product.

The columns of a chunk of images form a matrix (C * kernel) x (images * positions). Chunks keep that
matrix below `CHUNK_BYTES`, so that memory does not grow with the batch; small nets need one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Shape, Tensor
from minicaffe.ops.conv import Conv, missing
from minicaffe.ops.im2col import Im2col

CHUNK_BYTES = 64 << 20


@kernel(Conv)
class ReferenceConv(ReferenceKernel[Conv]):
    """Convolution, or its transpose, in which input and output change their roles."""

    def __init__(self, backend: ReferenceBackend, op: Conv, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, y = tensors[0].shape, tensors[2].shape
        # The side with the windows is the input, that with one value per window the output; a
        # transposed convolution exchanges them.
        wide, narrow = (y, x) if op.transposed else (x, y)
        self.image: Shape = wide[2:]
        self.positions: Shape = narrow[2:]
        self.channels, self.filters = wide[1], narrow[1]
        self.taps = self.channels // op.group * math.prod(op.kernel)
        per_image = self.channels * math.prod(op.kernel) * math.prod(self.positions)
        self.chunk = max(1, CHUNK_BYTES // max(1, per_image * backend.dtype.itemsize))

    def forward(self, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""
        out = y.write()
        if self.op.transposed:
            self._gather(x.read(), w.read(), out)
        else:
            self._correlate(x.read(), w.read(), out)
        if b is not None:
            out += b.read().reshape((-1,) + (1,) * len(self.op.kernel))

    def backward_data(self, dy: Tensor, w: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        if self.op.transposed:
            self._correlate(dy.read(), w.read(), dx.write())
        else:
            self._gather(dy.read(), w.read(), dx.write())

    def backward_weights(self, x: Tensor, dy: Tensor, dw: Tensor | None, db: Tensor | None) -> None:
        """Add to dw and db."""
        wide, narrow = (dy.read(), x.read()) if self.op.transposed else (x.read(), dy.read())
        if dw is not None:
            total = self._filters(dw.update())
            for part in self._chunks(len(wide)):
                columns = self._columns(wide[part])
                total += self._by_group(narrow[part]) @ columns.swapaxes(1, 2)
        if db is not None:
            axes = (0, *range(2, dy.read().ndim))
            db.update()[...] += dy.read().sum(axes)

    def _chunks(self, images: int) -> Iterator[slice]:
        return (slice(i, i + self.chunk) for i in range(0, images, self.chunk))

    def _correlate(self, wide: Array, w: Array, narrow: Array) -> None:
        weights = self._filters(w)
        for part in self._chunks(len(wide)):
            values = weights @ self._columns(wide[part])
            images = narrow[part].shape
            values = values.reshape(self.filters, images[0], *images[2:])
            narrow[part] = values.swapaxes(0, 1)

    def _gather(self, narrow: Array, w: Array, wide: Array) -> None:
        weights = self._filters(w).swapaxes(1, 2)
        for part in self._chunks(len(wide)):
            self._add_columns(weights @ self._by_group(narrow[part]), wide[part])

    def _filters(self, w: Array) -> Array:
        """Return the filters as (group, F / group, taps)."""
        # No size is left to NumPy: it cannot infer one of an array without values.
        return w.reshape(self.op.group, self.filters // self.op.group, self.taps)

    def _by_group(self, narrow: Array) -> Array:
        """Return (N, F, *S') as (group, F / group, N * positions)."""
        positions = len(narrow) * math.prod(self.positions)
        shape = (self.op.group, self.filters // self.op.group, positions)
        return narrow.swapaxes(0, 1).reshape(shape)

    def _columns(self, images: Array) -> Array:
        """Return the windows of (n, C, *S) as (group, C / group * taps, n * positions)."""
        padded = self._padded(images)
        shape = (self.channels, *self.op.kernel, len(images), *self.positions)
        columns = self.xp.empty(shape, images.dtype)
        for tap, window in windows(self.op, self.positions):
            columns[(slice(None), *tap)] = padded[(slice(None), slice(None), *window)].swapaxes(
                0, 1
            )
        positions = len(images) * math.prod(self.positions)
        return columns.reshape(self.op.group, self.taps, positions)

    def _add_columns(self, columns: Array, images: Array) -> None:
        """Overwrite (n, C, *S) with the sums of the columns (col2im); the adjoint of `_columns`."""
        n = len(images)
        columns = columns.reshape(self.channels, *self.op.kernel, n, *self.positions)
        sides = zip(self.image, padding(self.op, self.image), strict=True)
        sizes = [size + before + after for size, (before, after) in sides]
        padded = self.xp.zeros((n, self.channels, *sizes), images.dtype)
        for tap, window in windows(self.op, self.positions):
            at = (slice(None), slice(None), *window)
            padded[at] += columns[(slice(None), *tap)].swapaxes(0, 1)
        images[...] = padded[(slice(None), slice(None), *self._inside())]

    def _padded(self, images: Array) -> Array:
        sides = padding(self.op, self.image)
        if not any(map(any, sides)):
            return images
        return self.xp.pad(images, [(0, 0), (0, 0), *sides])

    def _inside(self) -> tuple[slice, ...]:
        return tuple(slice(p, p + s) for p, s in zip(self.op.pad, self.image, strict=True))


def padding(op: Conv | Im2col, image: Shape) -> list[tuple[int, int]]:
    """Return the numbers of zeros before and after each axis of an image."""
    return [(p, p + more) for p, more in zip(op.pad, missing(op, image), strict=True)]


def windows(
    op: Conv | Im2col, positions: Shape
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Yield each tap of the window with the padded positions that it covers."""
    for tap in itertools.product(*map(range, op.kernel)):
        axes = zip(tap, op.dilation, op.stride, positions, strict=True)
        yield tap, tuple(slice(k * d, k * d + s * (n - 1) + 1, s) for k, d, s, n in axes)
