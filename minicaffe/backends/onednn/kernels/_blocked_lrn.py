"""Local response normalisation across the channels of images in blocks of channels, in C.

oneDNN has compiled code for some sizes only, keeps a workspace as large as x or twice that, and its
gradient takes two to three times as long.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.kernels._channel_blocks import BlockedImages
from minicaffe.backends.onednn.runtime.memory import Layout, address_of
from minicaffe.backends.onednn.runtime.precision import value_type
from minicaffe.backends.onednn.runtime.primitive import Engine
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.native.library import NativeLibrary
from minicaffe.ops.lrn import Lrn

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# What the C code has room for on the stack.
MAX_CHANNELS = 1024
MAX_HALF_WINDOW = 16
# Multiply-adds that a value takes about as long as, forward: a power has the largest share.
OPERATIONS = 20


class BlockedLrn:
    """Forward pass and gradient in one layout.

    Parameters
    ----------
    native : NativeLibrary
    op : Lrn
    images : BlockedImages
        The layout of all tensors.
    engine : Engine
        Of the backend.
    """

    def __init__(
        self, native: NativeLibrary, op: Lrn, images: BlockedImages, engine: Engine
    ) -> None:
        self._layout, self._engine = images.layout, engine
        threads = engine.threads.for_work(OPERATIONS * math.prod(images.layout.shape))
        sizes = (images.samples, images.rows, images.pixels, op.local_size // 2)
        self._sizes = np.array(sizes, np.int64)
        self._sizes_at = self._sizes.ctypes.data
        stored = value_type(images.layout)
        self._numbers = (stored, op.alpha / op.local_size, op.beta, op.k, threads)
        self._forward = native.lookup("lrn_forward")
        self._backward = native.lookup("lrn_backward")

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        addresses = address_of(x.source(self._layout)), address_of(y.target(self._layout))
        self._engine.launch(self._forward, self._sizes_at, *addresses, *self._numbers)
        y.write_back()

    def backward(self, x: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        given = address_of(x.source(self._layout)), address_of(dy.source(self._layout))
        self._backward(self._sizes_at, *given, address_of(dx.target(self._layout)), *self._numbers)
        dx.write_back()


def plan_blocked_lrn(backend: OneDnnBackend, op: Lrn, layout: Layout) -> BlockedLrn | None:
    """Return the C kernels for a layout, None if they do not compute that."""
    native = backend.native
    if native is None or op.region != "across" or layout.is_plain:
        return None
    if op.local_size // 2 > MAX_HALF_WINDOW or layout.shape[1] > MAX_CHANNELS:
        return None
    images = BlockedImages.of_layout(layout)
    fits = images.layout is layout and images.block == native.lanes
    return BlockedLrn(native, op, images, backend.engine) if fits else None
