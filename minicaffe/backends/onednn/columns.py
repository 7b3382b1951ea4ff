"""Gradients of convolutions by products over columns, for few channels under large windows.

The library computes channels in blocks of 8, and those that fill the last block are zeros. A
product has none. Each window of x is a row of a matrix, its columns. With the channels last, a row
of a window lies in memory as it must lie there, so that columns cost one copy. A thread takes some
images at a time, whose columns stay in its core's cache.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.gemm import multiply
from minicaffe.backends.onednn.memory import Layout, address_of
from minicaffe.backends.onednn.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.ops.backend import Array, Shape
from minicaffe.ops.conv import Conv

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Channels that the library keeps side by side on AVX2, and from how many taps on a product over
# columns can be faster.
BLOCK = 8
MIN_TAPS = 25
# Columns that a thread has at a time, in values: a megabyte.
PIECE_VALUES = 1 << 18


def suits_columns(op: Conv, x: Shape) -> bool:
    """Return whether gradients are computed sooner as products over columns.

    Measured on AVX2, for LeNet's second convolution: that of the data takes 2.2 ms so, 2.9 ms in
    blocks of 8 channels; that of the weights 1.8 and 2.2 ms, forward the same. With padding, fewer
    taps or an even number of blocks it takes longer.
    """
    if len(op.kernel) != 2 or op.group > 1 or any(op.pad):
        return False
    is_dense, blocks = {*op.stride, *op.dilation} == {1}, -(-x[1] // BLOCK)
    return is_dense and blocks % 2 == 1 and math.prod(op.kernel) >= MIN_TAPS


def suits_column_gradient(op: Conv, x: Shape, y: Shape) -> bool:
    """Return whether that holds for `ColumnGradient`.

    Not for grey pictures, whose columns are copies of a few values each.
    """
    if op.transposed or x[0] == 0 or x[1] == 1 or not suits_columns(op, x):
        return False
    return math.prod(y[2:]) * x[1] * math.prod(op.kernel) <= PIECE_VALUES


class ColumnGradient:
    """dw and db of a convolution with stride 1 and without padding, in float32.

    Parameters
    ----------
    backend : OneDnnBackend
    x, w, y : tuple of int
        Shapes (N, C, H, W), (K, C, R, S), (N, K, H - R + 1, W - S + 1).
    """

    def __init__(self, backend: OneDnnBackend, x: Shape, w: Shape, y: Shape) -> None:
        self._backend = backend
        self._x, self._w, self._y = (Layout.channels_last(shape) for shape in (x, w, y))
        self._filters, self._length = w[0], math.prod(w[1:])
        # Of all windows: image, row, column; the rows of each, and what lies in them.
        self._shape = (y[0], *y[2:], w[2], w[3] * w[1])
        image, row, pixel = (FLOAT_BYTES * n for n in (math.prod(x[1:]), x[3] * x[1], x[1]))
        self._strides = (image, row, pixel, row, FLOAT_BYTES)
        windows = y[2] * y[3]
        at_once = PIECE_VALUES // (windows * self._length)
        spans = [(i, min(i + at_once, y[0])) for i in range(0, y[0], at_once)]
        n = min(backend.threads, len(spans))
        # What is summed up together is fixed: the order of a sum changes its rounding.
        self._shares = [spans[i::n] for i in range(n)]
        self._ones = np.ones(at_once * windows, np.float32)

    def __call__(
        self,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        dw: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Add to dw and db."""
        values = x.values(self._x)
        windows = np.ndarray(self._shape, np.float32, values, strides=self._strides)
        given, size = address_of(dy.source(self._y)), self._filters * self._length
        bench = self._backend.workbench
        # Behind the sums for the filters those for the bias.
        sums = [bench.sums[i].holding(size + self._filters) for i in range(len(self._shares))]

        def run(lane: int, share: int) -> None:
            columns = bench.lanes[lane].near.values
            self._sum(windows, self._shares[share], columns, given, sums[share].address)

        bench.share(run, range(len(self._shares)))
        for target, layout, begin, n in (
            (dw, self._w, 0, size),
            (db, Layout.plain((self._filters,)), size, self._filters),
        ):
            if target is not None:
                _add([s.values[begin : begin + n] for s in sums], target, layout)

    def _sum(
        self,
        windows: Array,
        spans: list[tuple[int, int]],
        room: Array,
        given: int,
        sums: int,
    ) -> None:
        """Overwrite the sums over these images."""
        k, length = self._filters, self._length
        per_image = math.prod(self._shape[1:3])
        of_bias, ones = sums + k * length * FLOAT_BYTES, self._ones.ctypes.data
        for i, (start, end) in enumerate(spans):
            n = (end - start) * per_image
            columns = room[: n * length]
            np.copyto(columns.reshape(-1, *self._shape[1:]), windows[start:end])
            dy, old = given + start * per_image * k * FLOAT_BYTES, float(i > 0)
            multiply(b"T", b"N", k, length, n, dy, columns.ctypes.data, old, sums)
            multiply(b"N", b"N", 1, k, n, ones, dy, old, of_bias)


def _add(sums: list[Array], target: OneDnnTensor, layout: Layout) -> None:
    """Add all sums to a gradient, in this layout."""
    if target.is_zero:
        values = target.values_to_write(layout)
        values[...] = sums[0]
        sums = sums[1:]
    else:
        values = target.values(layout)
        target.target(layout)
    for one in sums:
        values += one
    if target.is_pinned:
        target.settle()
