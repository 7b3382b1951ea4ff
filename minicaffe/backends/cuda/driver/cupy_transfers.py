"""Asynchronous copies between host and GPU through pinned memory.

CuPy does not track when a copy from or to pinned memory is finished, but the memory must not be
overwritten or freed before that. Therefore each copy here records an event.
"""

from __future__ import annotations

import ctypes
import itertools
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

import cupy
import numpy as np
from cupy.cuda import runtime

from minicaffe.backends.cuda.driver.device import DeviceMemory
from minicaffe.ops.backend import HostArray

# Objects of CuPy, which has no type stubs.
_Cupy: TypeAlias = Any

# Uploads use ring buffers of pinned memory: small ones (launch parameters), large ones (batches).
SMALL_BYTES = 1 << 16
RING_LENGTH = {True: 64, False: 2}


class Ring:
    """Ring buffer of pinned memory; a slot is reused when its last copy is finished."""

    def __init__(self, size_bytes: int, length: int) -> None:
        self._slots = itertools.cycle(
            [
                (cupy.cuda.alloc_pinned_memory(size_bytes), cupy.cuda.Event(disable_timing=True))
                for _ in range(length)
            ]
        )

    def upload(self, stream: _Cupy, address: int, values: HostArray) -> None:
        """Copy a C-ordered array into device memory."""
        pinned, event = next(self._slots)
        event.synchronize()
        np.frombuffer(pinned, np.uint8, values.nbytes)[...] = values.reshape(-1).view(np.uint8)
        kind = runtime.memcpyHostToDevice
        runtime.memcpyAsync(address, pinned.ptr, values.nbytes, kind, stream.ptr)
        event.record(stream)


class Uploads:
    """Ring buffers for uploads of all sizes."""

    def __init__(self) -> None:
        self._rings: dict[int, Ring] = {}

    def upload(self, stream: _Cupy, address: int, values: HostArray) -> None:
        """Copy a C-ordered array, which may be changed as soon as this returns."""
        if not values.nbytes:
            return
        is_small = values.nbytes <= SMALL_BYTES
        size_bytes = SMALL_BYTES if is_small else 1 << (values.nbytes - 1).bit_length()
        ring = self._rings.get(size_bytes)
        if ring is None:
            ring = self._rings[size_bytes] = Ring(size_bytes, RING_LENGTH[is_small])
        ring.upload(stream, address, values)


class CupyDownload:
    """An asynchronous copy to the host; see `Download`."""

    def __init__(self, stream: _Cupy, address: int, values: HostArray) -> None:
        self._values = values
        self._pinned = cupy.cuda.alloc_pinned_memory(max(values.nbytes, 1))
        kind = runtime.memcpyDeviceToHost
        runtime.memcpyAsync(self._pinned.ptr, address, values.nbytes, kind, stream.ptr)
        self._event = cupy.cuda.Event(disable_timing=True)
        self._event.record(stream)
        # CuPy reuses freed pinned memory at once, even if the copy is not finished.
        weakref.finalize(self, self._event.synchronize).atexit = False

    @property
    def is_done(self) -> bool:
        """Whether the copy is finished."""
        return bool(self._event.done)

    def wait(self) -> None:
        """Wait until the copy is finished, and write it to `values`."""
        self._event.synchronize()
        ctypes.memmove(self._values.ctypes.data, self._pinned.ptr, self._values.nbytes)


class CupyStagingBuffer:
    """Device memory with a page-locked host copy; see `StagingBuffer`.

    Parameters
    ----------
    device : cupy.cuda.Device
    kernels, uploads : cupy.cuda.Stream
        The stream of the kernels, and that of the prefetched uploads.
    memory : DeviceMemory
    refuse_capture : callable
        Raises during graph capture.

    Notes
    -----
    The current GPU of a new thread is GPU 0, and an event belongs to the GPU on which it was made.
    Therefore methods that any thread may call make this buffer's GPU the current one, and leave it
    so: CuPy's ``with device`` stores the previous one in the object, which is not thread-safe.
    """

    def __init__(
        self,
        device: _Cupy,
        kernels: _Cupy,
        uploads: _Cupy,
        memory: DeviceMemory,
        refuse_capture: Callable[[str], None],
    ) -> None:
        self._device, self._kernels, self._uploads = device, kernels, uploads
        self._memory, self._refuse_capture = memory, refuse_capture
        self.address = memory.address
        self._pinned = cupy.cuda.alloc_pinned_memory(memory.size_bytes)
        self.host: HostArray = np.frombuffer(self._pinned, np.uint8, memory.size_bytes)
        # A blocking event frees the CPU core while the host waits.
        self._arrived = cupy.cuda.Event(block=True, disable_timing=True)
        self._released = cupy.cuda.Event(disable_timing=True)
        # CuPy may return memory that earlier kernels still use, ...
        self._released.record(kernels)
        # ... and may reuse this memory after it is freed, while an upload still writes to it.
        weakref.finalize(self, self._arrived.synchronize)

    def wait(self) -> None:
        """Wait until the last upload is finished."""
        self._device.use()
        self._arrived.synchronize()

    def upload(self) -> None:
        """Start the upload on the stream of uploads, after the last release."""
        self._device.use()
        self._uploads.wait_event(self._released)
        size_bytes, kind = self.host.nbytes, runtime.memcpyHostToDevice
        stream = self._uploads.ptr
        runtime.memcpyAsync(self.address, self._pinned.ptr, size_bytes, kind, stream)
        self._arrived.record(self._uploads)

    def acquire(self) -> None:
        """Make the kernels' stream wait for the upload."""
        self._refuse_capture("reading a staging buffer")
        self._kernels.wait_event(self._arrived)

    def release(self) -> None:
        """Record the end of the kernels that read the buffer."""
        self._refuse_capture("reading a staging buffer")
        self._released.record(self._kernels)
