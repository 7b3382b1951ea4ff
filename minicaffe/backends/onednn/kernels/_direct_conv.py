"""Convolution by its definition in C, for few filter taps: register-blocked, in oneDNN's layouts.

oneDNN computes the same with the same number of operations. With few images it waits for filters
from main memory, and divides small images badly among threads.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.runtime.channel_epilogue import NO_EPILOGUE, ChannelEpilogue
from minicaffe.backends.onednn.runtime.library import TAGS_OF_FILTERS, TAGS_OF_IMAGES
from minicaffe.backends.onednn.runtime.memory import Layout, TaggedLayout, address_of
from minicaffe.backends.onednn.runtime.native import ThreadedFunction
from minicaffe.backends.onednn.runtime.precision import FP32
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.native.library import NativeLibrary
from minicaffe.ops.backend import Shape
from minicaffe.ops.conv import Conv, missing

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Bytes of the filters of two blocks of outputs that stay in the first-level cache, and of the
# images that stay in the second-level cache.
FILTER_BYTES = 24 << 10
IMAGE_BYTES = 256 << 10
PANEL_BLOCKS = 2
STRIDES = ((1, 1), (2, 2))
# By lanes, measured within nets on an AMD EPYC (Zen 5): the most pixels of y, the most taps, the
# largest stride, and the fewest multiply-adds for which the kernel is faster than oneDNN's. Several
# images may have half as many pixels together: they use each filter often enough.
MAX_PIXELS = {16: 1024, 8: 256}
MAX_TAPS = {16: 25, 8: 1}
MAX_STRIDE = {16: 2, 8: 1}
MIN_WORK = {16: 4_000_000, 8: 1_000_000}
# Fewer pixels of an image leave registers unused.
MIN_AREA = 8
# The padding of input channels is multiplied too.
MAX_WASTE = 1.1


class DirectConv:
    """y = convolution of x.

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
        self._backend = backend
        lanes = native.lanes
        weights = (y[1], x[1], *op.kernel)
        self._x, self._y = (_blocked(s, TAGS_OF_IMAGES[lanes]) for s in (x, y))
        self._weights = _blocked(weights, TAGS_OF_FILTERS[lanes])
        in_blocks, out_blocks = (-(-n // lanes) for n in (x[1], y[1]))
        padded = tuple(n + 2 * p for n, p in zip(x[2:], op.pad, strict=True))
        block, row = math.prod(padded) * lanes, padded[1] * lanes
        taps = math.prod(op.kernel)
        self._padded_values = x[0] * in_blocks * block if any(op.pad) else 0
        # Pixels follow each other through all rows.
        is_flat = taps == 1 and set(op.stride) == {1} and not any(op.pad)
        units, width, unit = (math.prod(y[2:]), 1, lanes)
        if not is_flat:
            units, width, unit = y[2], y[3], op.stride[0] * row
        in_chunk = max(1, FILTER_BYTES // (taps * PANEL_BLOCKS * lanes**2 * FLOAT_BYTES))
        unit_bytes = in_blocks * op.stride[0] * width * op.stride[0] * lanes * FLOAT_BYTES
        by_outputs = self._weights.size_bytes >= self._x.size_bytes
        area = math.prod(y[2:]) * lanes
        self._sizes = np.array(
            (
                *(x[0], in_blocks, out_blocks, y[1], in_blocks * block, block),
                *(out_blocks * area, area, units, width, unit, op.stride[0], *op.kernel),
                *(in_chunk, max(1, IMAGE_BYTES // unit_bytes), by_outputs),
                *(*x[2:], *op.pad, *padded),
            ),
            np.int64,
        )
        starts = np.arange(in_chunk)[:, None, None] * block
        rows, columns = (np.arange(n) * d for n, d in zip(op.kernel, (row, lanes), strict=True))
        self._offsets = (starts + rows[:, None] + columns).astype(np.int64)
        self._plan = self._sizes.ctypes.data, self._offsets.ctypes.data
        function, work = native.lookup("direct_conv_forward"), math.prod(y) * x[1] * taps
        self._run = ThreadedFunction(backend.engine, function, work)

    def __call__(
        self,
        x: OneDnnTensor,
        w: OneDnnTensor,
        y: OneDnnTensor,
        epilogue: ChannelEpilogue = NO_EPILOGUE,
    ) -> None:
        """Overwrite y."""
        source, weights = address_of(x.source(self._x)), address_of(w.source(self._weights))
        padded = None
        if self._padded_values:
            padded = self._backend.scratch(self._padded_values * FLOAT_BYTES)
        target = address_of(y.target(self._y))
        self._run(
            *(*self._plan, source, weights, *epilogue.addresses(), epilogue.rectifies),
            *(target, None if padded is None else padded.address),
            owners=(padded,),
        )
        y.write_back()


def plan_direct_conv(backend: OneDnnBackend, op: Conv, x: Shape, y: Shape) -> DirectConv | None:
    """Return the C kernel for x and y, None if there is none or others are faster."""
    native = backend.native
    if native is None or backend.precision != FP32 or not _can_compute(op, x):
        return None
    return DirectConv(backend, native, op, x, y) if _suits(op, x, y, native.lanes) else None


def _can_compute(op: Conv, x: Shape) -> bool:
    if len(op.kernel) != 2 or op.transposed or op.group > 1 or {*op.dilation} != {1}:
        return False
    return op.stride in STRIDES and not any(missing(op, x[2:]))


def _suits(op: Conv, x: Shape, y: Shape, lanes: int) -> bool:
    """Return whether oneDNN would wait for filters, each of which few pixels use."""
    area, taps = math.prod(y[2:]), math.prod(op.kernel)
    most = MAX_PIXELS[lanes] // (1 if y[0] == 1 else 2)
    waste = -(-x[1] // lanes) * lanes / x[1]
    if not MIN_AREA <= area <= most // y[0] or waste > MAX_WASTE or y[1] < lanes:
        return False
    if taps > MAX_TAPS[lanes] or max(op.stride) > MAX_STRIDE[lanes]:
        return False
    return math.prod(y) * x[1] * taps >= MIN_WORK[lanes]


def _blocked(shape: Shape, tag: int) -> Layout:
    tagged = TaggedLayout(shape, tag)
    return Layout.of(tagged.handle, shape)
