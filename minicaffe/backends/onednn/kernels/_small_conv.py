"""Convolution of small images with few channels, in C, in the plain layout.

oneDNN pads channels to blocks of 8 or 16, which for LeNet's 20 and 50 channels costs up to half of
the multiplications, and needs reorders of plain tensors. The C kernels multiply matrices whose
vectors are pixels (taps for the gradient of the weights); `_small_conv.c` describes them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minicaffe.backends.onednn.runtime.channel_epilogue import ChannelEpilogue
from minicaffe.backends.onednn.runtime.memory import Buffer
from minicaffe.backends.onednn.runtime.precision import FP32
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.native.library import NativeLibrary
from minicaffe.ops.backend import Shape
from minicaffe.ops.conv import Conv, missing

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Values by which the C code's copies may exceed their targets.
RUN = 8
# Values.
CACHE_LINE = 16
# Values of a block of columns or rows, 32 KB: fewer are read too seldom, more leave the L1 cache.
BLOCK_VALUES = 8192
# Measured on AVX2 and AVX-512: oneDNN is faster where its blocks are as full as these, with fewer
# taps, and on images that leave the cache. It has special code for coloured pictures.
MIN_WASTE, MIN_GREY_WASTE = 1.3, 1.15
MIN_TAPS = 9
MAX_VALUES = 65536
COLORS = (2, 3)
# Pixels in a block of output rows: more would leave the cache with few channels.
MAX_BLOCK_PIXELS = 256


class _Blocks(NamedTuple):
    """How the passes divide a convolution, and the scratch memory that they need.

    Attributes
    ----------
    rows, width : int
        Output rows of a block, and their pixels, rounded up to whole vectors.
    column_channels, row_channels, row_taps : int
        Channels of x in a block of columns, and of rows with their taps, rounded up.
    scratch : int
        Values for each thread.
    """

    rows: int
    width: int
    column_channels: int
    row_channels: int
    row_taps: int
    scratch: int


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _padded(n: int) -> int:
    """Return the size of a buffer with the overhang of copies, in whole cache lines."""
    return _round_up(n + RUN, CACHE_LINE)


def _least_waste(whole: int, most: int, values: int, lanes: int) -> int:
    """Return in how large blocks to divide an axis so that the fewest lanes are unused.

    Parameters
    ----------
    whole, most : int
        The size of the axis, and of the largest block.
    values : int
        For each unit of the axis; those of a block are rounded up to whole vectors.
    """

    def used(block: int) -> tuple[int, int]:
        full, rest = divmod(whole, block)
        return full * _round_up(block * values, lanes) + _round_up(rest * values, lanes), -block

    return min(range(1, max(1, min(whole, most)) + 1), key=used)


def _divide(x: Shape, y: Shape, kernel: Shape, staged: int, lanes: int) -> _Blocks:
    taps, channels = math.prod(kernel), x[1]
    rows = _least_waste(y[2], MAX_BLOCK_PIXELS // y[3], y[3], lanes)
    width = _round_up(rows * y[3], lanes)
    n_blocks = -(-channels // max(1, BLOCK_VALUES // (taps * width)))
    column_channels = -(-channels // n_blocks)
    row_channels = _least_waste(channels, BLOCK_VALUES // (taps * rows * y[3]), taps, lanes)
    row_taps = _round_up(row_channels * taps, lanes)
    columns, results = column_channels * taps * width, y[1] * width
    sums = -(-channels // row_channels) * y[1] * row_taps
    by_pixel = _padded(rows * y[3] * row_taps) + _padded(sums + y[1])
    scratch = _padded(staged) + max(_padded(columns) + _padded(results), by_pixel)
    return _Blocks(rows, width, column_channels, row_channels, row_taps, scratch)


class SmallConv:
    """Forward pass and both gradients.

    Parameters
    ----------
    backend : OneDnnBackend
    native : NativeLibrary
    op : Conv
    x, y : tuple of int
        The shapes (N, C, H, W) and (N, F, H', W').
    """

    def __init__(
        self, backend: OneDnnBackend, native: NativeLibrary, op: Conv, x: Shape, y: Shape
    ) -> None:
        padded = tuple(n + 2 * p for n, p in zip(x[2:], op.pad, strict=True))
        self._engine = backend.engine
        blocks = _divide(x, y, op.kernel, x[1] * math.prod(padded), native.lanes)
        sizes = (*x, y[1], *op.kernel, *op.pad, *y[2:], *padded, *blocks)
        self._sizes = np.array(sizes, np.int64)
        work = math.prod(y) * x[1] * math.prod(op.kernel)
        self._threads = min(backend.engine.threads.for_work(work), x[0])
        # Zero, because the passes do not write the border of padded images.
        scratch_bytes = self._threads * blocks.scratch * FLOAT_BYTES
        self._scratch = Buffer(scratch_bytes, backend.engine.handle)
        self._arguments = self._scratch.address, self._threads
        self._sizes_at = self._sizes.ctypes.data
        names = ("forward", "backward_data", "backward_weights")
        self._functions = [native.lookup(f"small_conv_{name}") for name in names]

    def forward(
        self, x: OneDnnTensor, w: OneDnnTensor, epilogue: ChannelEpilogue, y: OneDnnTensor
    ) -> None:
        """Overwrite y."""
        reads = (self._sizes_at, x.address(), w.address(), *epilogue.addresses())
        results = epilogue.rectifies, y.address_to_write(), *self._arguments
        self._engine.launch(self._functions[0], *reads, *results)

    def backward_data(self, dy: OneDnnTensor, w: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        reads = (self._sizes_at, dy.address(), w.address())
        self._functions[1](*reads, dx.address_to_write(), *self._arguments)

    def backward_weights(
        self,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        dw: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Add to dw and db."""
        totals = [0 if total is None else total.address_to_update() for total in (dw, db)]
        reads = (self._sizes_at, x.address(), dy.address())
        self._functions[2](*reads, *totals, *self._arguments)


def plan_small_conv(backend: OneDnnBackend, op: Conv, x: Shape, y: Shape) -> SmallConv | None:
    """Return the C kernels for x and y, None if there are none or others are faster."""
    native = backend.native
    if native is None or backend.precision != FP32 or not _suits(op, x, y, native.lanes):
        return None
    return SmallConv(backend, native, op, x, y)


def _suits(op: Conv, x: Shape, y: Shape, lanes: int) -> bool:
    """Return whether the blocks of oneDNN would waste more time than the copies cost."""
    if len(op.kernel) != 2 or op.transposed or op.group > 1 or {*op.stride, *op.dilation} != {1}:
        return False
    if any(missing(op, x[2:])) or math.prod(op.kernel) < MIN_TAPS:
        return False
    waste = _round_up(y[1], lanes) / y[1]
    enough = MIN_GREY_WASTE
    if x[1] > 1:
        waste, enough = waste * _round_up(x[1], lanes) / x[1], MIN_WASTE
    return waste >= enough and x[1] not in COLORS and math.prod(x[1:]) <= MAX_VALUES
