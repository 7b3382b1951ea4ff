"""Max pooling of plain images in windows of 2 x 2 with stride 2, in C.

For plain images oneDNN takes several times as long, and it loses NaN.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.kernels._channel_blocks import BlockedImages
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Engine
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.native.library import NativeLibrary
from minicaffe.ops.backend import Shape
from minicaffe.ops.pool import Pool

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

PAIR = (2, 2)
# Values of a row that the C code keeps on its stack.
MAX_WIDTH = 1024


class PairPool:
    """Max pooling of images whose sides are even, so that every value is in one window.

    Parameters
    ----------
    native : NativeLibrary
    x, y : tuple of int
        The shapes (N, C, H, W) and (N, C, H / 2, W / 2).
    engine : Engine
        Of the backend.

    Attributes
    ----------
    taps : uint8 array (N * C * H / 2 * W / 2,)
        The place of each maximum of the last forward pass in its window.
    images : BlockedImages
        The layout of y and of `taps`.
    """

    def __init__(self, native: NativeLibrary, x: Shape, y: Shape, engine: Engine) -> None:
        self.images, self.taps = BlockedImages.plain(y), np.empty(math.prod(y), np.uint8)
        self._taps_at = self.taps.ctypes.data
        self._sizes = math.prod(x[:3]) // 2, x[3]
        size_bytes = (math.prod(x) + math.prod(y)) * FLOAT_BYTES
        self._engine = engine
        self._threads = partial(engine.threads_for, size_bytes=size_bytes, keeps_bits=True)
        self._forward = native.lookup("max_pool_pairs_forward")
        self._backward = native.lookup("max_pool_pairs_backward")

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y and the taps."""
        results = y.address_to_write(), self._taps_at
        given = x.address(), *self._sizes
        self._engine.launch(self._forward, *given, *results, self._threads())

    def backward(self, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        given = dy.address(), self._taps_at
        self._backward(*given, *self._sizes, dx.address_to_write(), self._threads())


def plan_pair_pool(backend: OneDnnBackend, op: Pool, x: Layout, y: Shape) -> PairPool | None:
    """Return the C kernel for x in a layout, None if it does not compute that."""
    if backend.native is None or not x.is_plain or op.mode != "max" or any(op.pad):
        return None
    is_paired = op.kernel == PAIR == op.stride and x.shape[2:] == tuple(2 * n for n in op.out)
    fits = is_paired and x.shape[3] <= MAX_WIDTH
    return PairPool(backend.native, x.shape, y, backend.engine) if fits else None
