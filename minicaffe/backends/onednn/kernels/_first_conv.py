"""Gradient of the filters of a convolution of images with few channels, in C.

That of a net's first layer. oneDNN computes it in the same layouts. Measured on AVX2 with 16
images, the first convolution of GoogLeNet takes it 23 ms, the C kernel 17; AlexNet's 16 and 13 ms.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.kernels._channel_blocks import has_blocks
from minicaffe.backends.onednn.runtime.memory import Layout, address_of
from minicaffe.backends.onednn.runtime.precision import FP32
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.native.library import NativeLibrary
from minicaffe.ops.conv import Conv, missing

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Channels of x up to which the library's layout of x is plain.
MOST_CHANNELS = 3
# Of _first_conv.c: taps and, on AVX-512, blocks of filters whose sums are in registers.
TAPS = 6
BLOCKS = 4
# The share of unused taps up to which the C kernel is faster on AVX-512.
MOST_UNUSED = 0.05


class FirstConvGradient:
    """dw and db.

    Parameters
    ----------
    backend : OneDnnBackend
    native : NativeLibrary
        Its C kernels.
    op : Conv
    x, w, y : Layout
        Plain; filters in blocks, then taps and channels; blocks of filters.
    """

    def __init__(
        self,
        backend: OneDnnBackend,
        native: NativeLibrary,
        op: Conv,
        x: Layout,
        w: Layout,
        y: Layout,
    ) -> None:
        self._x, self._w, self._y, self._backend = x, w, y, backend
        self._function = native.lookup("first_conv_backward_weights")
        lanes = native.lanes
        samples, filters, *image = y.shape
        taps = _rounded_up(math.prod(w.shape[1:]), TAPS)
        width = (image[1] - 1) * op.stride[1] + op.kernel[1]
        # Sums, those of the bias, 64-bit indexes, rows of x; whole vectors for each thread.
        values = filters * (taps + 1) + 2 * taps + op.kernel[0] * x.shape[1] * width
        self._scratch_values = _rounded_up(values, lanes)
        numbers = (samples, *x.shape[1:], filters // lanes, *op.kernel, *op.stride, *op.pad)
        self._sizes = np.array((*numbers, *image, taps, self._scratch_values), np.int64)
        self._sizes_at = self._sizes.ctypes.data
        work = math.prod(y.shape) * math.prod(w.shape[1:])
        self._threads = backend.engine.threads.for_work(work, y.size_bytes)

    def __call__(
        self, x: OneDnnTensor, dy: OneDnnTensor, dw: OneDnnTensor, db: OneDnnTensor | None
    ) -> None:
        """Add to dw and db."""
        given = address_of(x.source(self._x)), address_of(dy.source(self._y))
        adds = not dw.is_zero
        if adds:
            dw.source(self._w)
        target = address_of(dw.target(self._w))
        total = None if db is None else db.address_to_update()
        size_bytes = self._threads * self._scratch_values * FLOAT_BYTES
        scratch = self._backend.scratch(size_bytes).address
        self._function(self._sizes_at, *given, target, adds, total, scratch, self._threads)
        dw.write_back()


def plan_first_conv_gradient(
    backend: OneDnnBackend, op: Conv, x: Layout, w: Layout, y: Layout
) -> FirstConvGradient | None:
    """Return the C kernel for these layouts, None if it does not compute that."""
    native = backend.native
    if native is None or backend.precision != FP32 or op.transposed or op.group > 1:
        return None
    if len(op.kernel) != 2 or {*op.dilation} != {1} or any(missing(op, x.shape[2:])):
        return None
    fits = x.shape[1] <= MOST_CHANNELS and x.is_plain and has_blocks(y, native.lanes)
    if not fits or not _has_taps_of_blocks(w, native.lanes) or not is_faster(w, native.lanes):
        return None
    return FirstConvGradient(backend, native, op, x, w, y)


def is_faster(w: Layout, lanes: int) -> bool:
    """Return whether the C kernel takes less time than the library: always on AVX2."""
    taps = math.prod(w.shape[1:])
    is_full = w.shape[0] % (BLOCKS * lanes) == 0
    return lanes == 8 or (is_full and _rounded_up(taps, TAPS) <= (1 + MOST_UNUSED) * taps)


def _rounded_up(n: int, step: int) -> int:
    return -(-n // step) * step


def _has_taps_of_blocks(w: Layout, lanes: int) -> bool:
    """Return whether filters lie in blocks: rows, columns, channels, then the block's filters."""
    filters, channels, rows, columns = w.shape
    if w.is_plain or filters % lanes or w.size_bytes != math.prod(w.shape) * FLOAT_BYTES:
        return False
    ends = itertools.product((0, filters - lanes), *({0, n - 1} for n in w.shape[1:]))
    return all(
        w.offset((f, c, i, j)) == (((f // lanes * rows + i) * columns + j) * channels + c) * lanes
        for f, c, i, j in ends
    )
