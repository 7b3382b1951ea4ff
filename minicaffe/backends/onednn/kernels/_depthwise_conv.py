"""Depthwise convolution with 3 x 3 taps in C: one filter for each channel, strides 1 and 2.

oneDNN computes the same in the same layouts, and takes longer for images that leave the cache.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.kernels._channel_blocks import BlockedImages
from minicaffe.backends.onednn.runtime.channel_epilogue import NO_EPILOGUE, ChannelEpilogue
from minicaffe.backends.onednn.runtime.memory import Layout, address_of
from minicaffe.backends.onednn.runtime.primitive import Engine
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.native.library import NativeLibrary
from minicaffe.ops.conv import Conv, missing

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

WINDOW = (3, 3)
STRIDES = ((1, 1), (2, 2))


class DepthwiseConv:
    """Forward pass and both gradients, with plain filters and images in blocks of channels.

    Parameters
    ----------
    native : NativeLibrary
    op : Conv
    x, y : BlockedImages
    engine : Engine
        Of the backend.
    """

    def __init__(
        self, native: NativeLibrary, op: Conv, x: BlockedImages, y: BlockedImages, engine: Engine
    ) -> None:
        self._engine = engine
        self._x, self._y = x.layout, y.layout
        work = math.prod(y.layout.shape) * math.prod(op.kernel)
        size_bytes = FLOAT_BYTES * math.prod(x.layout.shape)
        self._stride, self._threads = op.stride[0], engine.threads.for_work(work, size_bytes)
        images = x.samples, x.rows
        wide, narrow = x.layout.shape[2:], y.layout.shape[2:]
        self._sizes = np.array((*images, *wide, *narrow, *op.pad), np.int64)
        # The gradient of x with stride 1 is a convolution of dy with turned filters.
        pad = (k - 1 - p for k, p in zip(op.kernel, op.pad, strict=True))
        self._turned_sizes = np.array((*images, *narrow, *wide, *pad), np.int64)
        self._sizes_at = self._sizes.ctypes.data
        self._turned_at = self._turned_sizes.ctypes.data
        self._forward = native.lookup("depthwise_conv_forward")
        self._backward_data = native.lookup("depthwise_conv_backward_data")
        self._backward_weights = native.lookup("depthwise_conv_backward_weights")

    def forward(
        self, x: OneDnnTensor, w: OneDnnTensor, epilogue: ChannelEpilogue, y: OneDnnTensor
    ) -> None:
        """Overwrite y."""
        filters = w.address(), False, *epilogue.addresses()
        source, target = address_of(x.source(self._x)), address_of(y.target(self._y))
        sizes = self._sizes_at, self._stride
        numbers = epilogue.rectifies, target, self._threads
        self._engine.launch(self._forward, *sizes, source, *filters, *numbers)
        y.write_back()

    def backward_data(self, dy: OneDnnTensor, w: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        source, target = address_of(dy.source(self._y)), address_of(dx.target(self._x))
        filters = w.address()
        if self._stride == 1:
            turned = filters, True, *NO_EPILOGUE.addresses()
            self._forward(self._turned_at, 1, source, *turned, False, target, self._threads)
        else:
            self._backward_data(self._sizes_at, source, filters, target, self._threads)
        dx.write_back()

    def backward_weights(
        self,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        dw: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Add to dw and db."""
        totals = [0 if total is None else total.address_to_update() for total in (dw, db)]
        given = address_of(x.source(self._x)), address_of(dy.source(self._y))
        sizes = self._sizes_at, self._stride
        self._backward_weights(*sizes, *given, *totals, self._threads)


def plan_depthwise_conv(
    backend: OneDnnBackend, op: Conv, x: Layout, y: Layout
) -> DepthwiseConv | None:
    """Return the C kernels for the layouts of x and y, None if they do not compute that."""
    native = backend.native
    if native is None or op.transposed:
        return None
    if op.kernel != WINDOW or op.stride not in STRIDES or {*op.dilation} != {1}:
        return None
    is_depthwise = op.group == x.shape[1] == y.shape[1] and max(op.pad) < WINDOW[0]
    if not is_depthwise or any(missing(op, x.shape[2:])):
        return None
    images = [BlockedImages.of_layout(layout) for layout in (x, y)]
    if any(
        i.block != native.lanes or i.layout is not t for i, t in zip(images, (x, y), strict=True)
    ):
        return None
    return DepthwiseConv(native, op, images[0], images[1], backend.engine)
