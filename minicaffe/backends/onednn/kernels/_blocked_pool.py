"""Max pooling of images in blocks of channels, in C.

oneDNN loses NaN, so that its kernel needs a pass over x before. The gradient is oneDNN's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.kernels._channel_blocks import has_blocks
from minicaffe.backends.onednn.runtime.library import DataType
from minicaffe.backends.onednn.runtime.memory import Layout, address_of
from minicaffe.backends.onednn.runtime.native import ThreadedFunction
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.native.library import NativeLibrary
from minicaffe.ops.pool import Pool

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# With stride 1 windows share most of their values, which the library makes use of.
MIN_STRIDE = 2
# By lanes, the size of x from which the kernel is faster, measured on an AMD EPYC (Zen 5).
MIN_BYTES = {16: 0, 8: 32 << 20}
# The library's workspace holds taps as bytes if there are fewer.
MAX_TAPS = 256


class BlockedPool:
    """Forward pass of max pooling in the layouts of the library.

    Parameters
    ----------
    native : NativeLibrary
    op : Pool
    primitive : Primitive
        The forward primitive for the same layouts, whose workspace it writes: the place of each
        maximum in its window.
    x, y : Layout
    """

    def __init__(
        self, native: NativeLibrary, op: Pool, primitive: Primitive, x: Layout, y: Layout
    ) -> None:
        self._x, self._y = x, y
        self._taps = primitive.workspace_values()
        planes = x.shape[0] * x.shape[1] // native.lanes
        windows = (*op.kernel, *op.stride, *op.pad)
        self._sizes = np.array((planes, *x.shape[2:], *y.shape[2:], *windows), np.int64)
        self._at = self._sizes.ctypes.data, self._taps.ctypes.data
        size_bytes = x.size_bytes + y.size_bytes
        function = native.lookup("blocked_max_pool")
        self._forward = ThreadedFunction(primitive.engine, function, size_bytes=size_bytes)

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y and the workspace."""
        source, target = address_of(x.source(self._x)), address_of(y.target(self._y))
        sizes, taps = self._at
        self._forward(sizes, source, target, taps)
        y.write_back()


def plan_blocked_pool(
    backend: OneDnnBackend, op: Pool, primitive: Primitive, x: Layout, y: Layout
) -> BlockedPool | None:
    """Return the C kernel for the layouts of a primitive, None if it is not faster."""
    native = backend.native
    if native is None or op.mode != "max" or len(op.kernel) != 2 or min(op.stride) < MIN_STRIDE:
        return None
    if math.prod(op.kernel) >= MAX_TAPS or x.data_type is not DataType.F32:
        return None
    if x.size_bytes < MIN_BYTES[native.lanes]:
        return None
    fits = has_blocks(x, native.lanes) and has_blocks(y, native.lanes)
    return BlockedPool(native, op, primitive, x, y) if fits else None
