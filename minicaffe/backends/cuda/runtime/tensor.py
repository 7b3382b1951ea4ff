"""Tensors of the cuda backend as other packages see them: plain arrays, and a mirror on the host.

`host` returns a mirror in host memory, like Caffe's SyncedMemory: each call downloads what the
device has written since, and what the host writes is uploaded when a kernel next reads.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from minicaffe.backends.cuda.driver.device import Address
from minicaffe.backends.cuda.runtime.device_tensor import DeviceTensor
from minicaffe.backends.cuda.runtime.format import PLAIN
from minicaffe.backends.cuda.runtime.storage import SharedArena
from minicaffe.backends.lock import locked
from minicaffe.backends.reference.tensor import CompletedFuture
from minicaffe.ops.backend import Array, Future, HostArray, Shape


class CudaTensor(DeviceTensor):
    """A logical C-order array in device memory."""

    @locked
    def read(self) -> Array:
        """Return the values as an array of the device, in C order."""
        self._session.log_host_access()
        self._source(PLAIN)
        return self._array()

    @locked
    def write(self) -> Array:
        """Return the plain array to be overwritten; its contents are undefined."""
        self._session.log_host_access()
        self._target(PLAIN)
        return self._array()

    @locked
    def update(self) -> Array:
        """Return the values as an array of the device that the caller may change."""
        array = self.read()
        self._target(PLAIN)
        return array

    def get(self) -> HostArray:
        """Return a copy in host memory."""
        return self.get_async().result()

    @locked
    def get_async(self) -> Future:
        """Start a copy to host memory and return its future."""
        self._session.log_host_access()
        self._sync_state()
        if self._storage.is_zero:
            return CompletedFuture(np.zeros(self.shape, np.float32))
        return self._session.get_async(self._plain_copy(), self.shape)

    @locked
    def set(self, values: npt.ArrayLike) -> None:
        """Overwrite the values with an array of the host."""
        self._session.log_host_access()
        # `upload` copies the values, so contiguous ones are not copied here.
        full = np.broadcast_to(np.asarray(values, np.float32), self.shape)
        self._session.device.upload(self._target(PLAIN), np.ascontiguousarray(full))

    @locked
    def clear(self) -> None:
        """Set all values to zero lazily: memory is written when the values are read."""
        self._log_use(is_read=False)
        storage = self._storage
        self._renew()
        storage.is_zero = True
        self._buffers.hold(frozenset(), PLAIN)

    @locked
    def host(self) -> HostArray:
        """Return the mirror in host memory, up to date; kernels read later host writes."""
        self._session.log_host_access()
        self._sync_state()
        storage = self._storage
        if storage.mirror is None or storage.mirror.size < self.size:
            storage.mirror, storage.is_mirror_current = np.zeros(self.size, np.float32), False
        view = storage.mirror[: self.size].reshape(self.shape)
        if not storage.is_mirror_current:
            view[...] = self.get()
            storage.is_mirror_current = True
        storage.may_host_be_newer = True
        self._note_change()
        return view

    @locked
    def reshape(self, shape: Shape) -> None:
        """Change the shape; values are kept if they fit, otherwise all are zero."""
        if shape == self.shape:
            return
        self._session.log_host_access()
        self._sync_state()
        storage = self._storage
        if not storage.is_zero:
            fits = math.prod(shape) <= self.size
            if fits and storage.arena is None:
                self._source(PLAIN)
            self._target(PLAIN)
            # A gradient that no layer writes counts as zero, also in new memory.
            storage.is_zero = not fits and storage.arena is None
        if storage.is_zero:
            # Memory that was cleared already is of the old shape.
            self._buffers.ready = frozenset()
        self._buffers.reshape(storage, shape)
        self._generation += 1
        self._cached_state = None
        self._session.version += 1

    def view(self, shape: Shape) -> CudaTensor:
        """Return a tensor of another shape over the same memory."""
        view = CudaTensor(self._session, shape, self._storage)
        view._buffers.scale = self._buffers.scale
        return view

    def use_scale(self) -> None:
        """Apply the session's loss scale, if any, to the float16 values of this tensor."""
        self._buffers.scale = self._session.scale

    def share_memory_with(self, other: CudaTensor) -> None:
        """Share memory with `other` from now on, views included; the values of both are lost."""
        arena = other._storage.arena
        if arena is None:
            arena = SharedArena(self._session.device)
            other._take(arena)
        self._take(arena)

    def _take(self, arena: SharedArena) -> None:
        self._buffers.take(self._storage, arena)
        self._generation += 1
        self._session.version += 1
        self.clear()

    def _plain_copy(self) -> Address:
        """Return the address of the values in C order, in scratch memory unless they are plain."""
        if PLAIN in self._buffers.ready:
            return self._buffer(PLAIN).address
        session = self._session
        address = session.scratch(PLAIN.size_bytes(self.shape), "copy")
        self._convert(self._buffers, address, PLAIN)
        return address

    def _array(self) -> Array:
        return self._session.device.array(self._buffer(PLAIN), self.shape)

    def __repr__(self) -> str:
        return f"CudaTensor{self.shape}"
