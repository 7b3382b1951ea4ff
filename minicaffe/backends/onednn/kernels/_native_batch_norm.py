"""Batch normalisation while training, with Scale and ReLU, in C: two passes in each direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.kernels._channel_blocks import has_blocks
from minicaffe.backends.onednn.runtime.memory import STREAMED_BYTES, Layout, address_of
from minicaffe.backends.onednn.runtime.precision import VALUE_BYTES, ValueType, value_type
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.native.library import NativeFunction, NativeLibrary
from minicaffe.ops.batch_norm import BatchNorm

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Groups for each thread from which on it hardly matters that one has a group more than another.
MANY_GROUPS = 4
# Rows of numbers for each channel that the forward pass keeps for the backward pass.
N_SAVED = 5


class _Groups(NamedTuple):
    """A layout as batch_norm.c sees it: (samples, groups, length)."""

    type: ValueType
    samples: int
    groups: int
    length: int
    is_blocked: bool


class NativeBatchNorm:
    """y = relu(s (x - mu) / sqrt(var + eps) + b), and all its gradients.

    Values are float32 or bfloat16; the sums are computed in double precision. NaN and infinity
    propagate, also through the ReLU.

    Parameters
    ----------
    backend : OneDnnBackend
    native : NativeLibrary
        Its C kernels.
    op : BatchNorm
    channels : int
    """

    def __init__(
        self, backend: OneDnnBackend, native: NativeLibrary, op: BatchNorm, channels: int
    ) -> None:
        self._op, self._lanes, self._engine = op, native.lanes, backend.engine
        self._forward: NativeFunction = native.lookup("batch_norm_forward")
        self._backward: NativeFunction = native.lookup("batch_norm_backward")
        self._saved = np.zeros((N_SAVED, channels), np.float32)
        self._rectifies = False
        self._groups = cache_method(self._find_groups)

    def suits(self, layout: Layout) -> bool:
        """Return whether there is code for the layout that employs all threads."""
        found = self._groups(layout)
        if found is None:
            return False
        threads = self._engine.threads.most
        return found.groups % threads == 0 or found.groups >= MANY_GROUPS * threads

    def forward(
        self,
        layout: Layout,
        x: OneDnnTensor,
        scaling: Sequence[OneDnnTensor],
        rectifies: bool,
        y: OneDnnTensor,
        statistics: Sequence[OneDnnTensor] = (),
    ) -> None:
        """Overwrite y; update the running mean and variance, if given.

        Parameters
        ----------
        layout : Layout
            Of x and y.
        x : OneDnnTensor
            Not y: backward reads it.
        scaling : sequence of OneDnnTensor
            s and b, s alone, or nothing.
        rectifies : bool
        y : OneDnnTensor
        statistics : sequence of OneDnnTensor
        """
        found = self._of(layout)
        self._rectifies = rectifies
        s, b, *_ = (*(tensor.address() for tensor in scaling), None, None)
        sums = [tensor.address_to_update() for tensor in statistics] or (None, None)
        inputs = (address_of(x.source(layout)), s, b)
        results = (address_of(y.target(layout)), self._saved.ctypes.data, *sums)
        streams = found.is_blocked and layout.size_bytes >= STREAMED_BYTES
        numbers = (self._op.fraction, self._op.eps, rectifies, streams)
        self._forward(*inputs, *results, *found, *numbers, self._threads_for(found))
        y.write_back()

    def backward(
        self,
        layout: Layout,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        dx: OneDnnTensor,
        gradients: Sequence[OneDnnTensor | None] = (),
    ) -> None:
        """Overwrite dx; add to the gradients of s and b that are not None.

        If dx is not dy, and s is given, dy becomes the gradient of the values before the scaling,
        because the layers work in place on y.
        """
        found = self._of(layout)
        sums = [tensor and tensor.address_to_update() for tensor in gradients]
        ds, db, *_ = (*sums, None, None)
        given = address_of(dy.source(layout))
        operands = (address_of(x.source(layout)), given, target := address_of(dx.target(layout)))
        visible = None if dx is dy or not gradients else address_of(dy.target(layout))
        is_large = layout.size_bytes >= STREAMED_BYTES
        numbers = (self._rectifies, found.is_blocked and is_large and target != given)
        results = (visible, self._saved.ctypes.data, ds, db)
        self._backward(*operands, *results, *found, *numbers, self._threads_for(found))
        dx.write_back()
        dy.write_back()

    def _of(self, layout: Layout) -> _Groups:
        found = self._groups(layout)
        if found is None:
            raise ValueError(f"there is no code for the layout {layout}")
        return found

    def _find_groups(self, layout: Layout) -> _Groups | None:
        samples, channels, *image = layout.shape
        pixels, lanes = math.prod(image), self._lanes
        stored = value_type(layout)
        if layout.size_bytes != math.prod(layout.shape) * VALUE_BYTES[stored]:
            return None  # there is padding
        if layout.is_plain:
            return _Groups(stored, samples, channels, pixels, False)
        if has_blocks(layout, lanes):
            return _Groups(stored, samples, channels // lanes, pixels * lanes, True)
        return None

    def _threads_for(self, found: _Groups) -> int:
        # The sums of a channel are those of one thread.
        values = found.samples * found.groups * found.length
        size_bytes = 3 * values * VALUE_BYTES[found.type]
        return self._engine.threads_for(size_bytes=size_bytes, keeps_bits=True)
