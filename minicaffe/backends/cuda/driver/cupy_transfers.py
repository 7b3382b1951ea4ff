"""Copies between the host and a GPU that nobody waits for, by way of pinned memory.

CuPy copies from pinned memory without a word about when it is done: whoever fills it anew, or gives
it back, must know. So every copy here has an event.
"""

from __future__ import annotations

import ctypes
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np
from cupy.cuda import runtime

from minicaffe.backends.cuda.driver.device import DeviceMemory
from minicaffe.ops.backend import HostArray

# Uploads go through pinned memory in rings: small ones (numbers of a run) and large ones (batches).
SMALL_BYTES = 1 << 16
RING_LENGTH = {True: 64, False: 2}


class Ring:
    """Pinned buffers that are used in turn, each again when its last copy is done."""

    def __init__(self, size_bytes: int, length: int) -> None:
        self._slots = itertools.cycle(
            [
                (cupy.cuda.alloc_pinned_memory(size_bytes), cupy.cuda.Event(disable_timing=True))
                for _ in range(length)
            ]
        )

    def upload(self, stream: Any, address: int, values: HostArray) -> None:
        """Copy from a C-ordered array into device memory."""
        pinned, event = next(self._slots)
        event.synchronize()
        np.frombuffer(pinned, np.uint8, values.nbytes)[...] = values.reshape(-1).view(np.uint8)
        kind = runtime.memcpyHostToDevice
        runtime.memcpyAsync(address, pinned.ptr, values.nbytes, kind, stream.ptr)
        event.record(stream)


class Uploads:
    """Rings for uploads of all sizes."""

    def __init__(self) -> None:
        self._rings: dict[int, Ring] = {}

    def upload(self, stream: Any, address: int, values: HostArray) -> None:
        """Copy from a C-ordered array, which may be changed as soon as this returns."""
        if not values.nbytes:
            return
        is_small = values.nbytes <= SMALL_BYTES
        size_bytes = SMALL_BYTES if is_small else 1 << (values.nbytes - 1).bit_length()
        ring = self._rings.get(size_bytes)
        if ring is None:
            ring = self._rings[size_bytes] = Ring(size_bytes, RING_LENGTH[is_small])
        ring.upload(stream, address, values)


class CupyDownload:
    """A copy to the host that may not be done yet."""

    def __init__(self, stream: Any, address: int, values: HostArray) -> None:
        self._values = values
        self._pinned = cupy.cuda.alloc_pinned_memory(max(values.nbytes, 1))
        kind = runtime.memcpyDeviceToHost
        runtime.memcpyAsync(self._pinned.ptr, address, values.nbytes, kind, stream.ptr)
        self._event = cupy.cuda.Event(disable_timing=True)
        self._event.record(stream)
        # CuPy hands on pinned memory at once, also of a copy that nobody has waited for.
        weakref.finalize(self, self._event.synchronize).atexit = False

    @property
    def is_done(self) -> bool:
        """Whether it is done."""
        return bool(self._event.done)

    def wait(self) -> None:
        """Wait until it is done."""
        self._event.synchronize()
        ctypes.memmove(self._values.ctypes.data, self._pinned.ptr, self._values.nbytes)


class CupyStagingBuffer:
    """Memory of the device with a page-locked twin; see `StagingBuffer`.

    Parameters
    ----------
    device : cupy.cuda.Device
    kernels, uploads : cupy.cuda.Stream
        Where kernels run, and beside them the uploads.
    memory : DeviceMemory
    refuse_capture : callable
        Raises while work is recorded.

    Notes
    -----
    A thread begins with GPU 0, and an event belongs to the GPU that it was made on. So what any
    thread may call makes its own GPU the current one, and leaves it so: CuPy's ``with device``
    keeps what was current before in the object, where threads would mix it up.
    """

    def __init__(
        self,
        device: Any,
        kernels: Any,
        uploads: Any,
        memory: DeviceMemory,
        refuse_capture: Callable[[str], None],
    ) -> None:
        self._device, self._kernels, self._uploads = device, kernels, uploads
        self._memory, self._refuse_capture = memory, refuse_capture
        self.address = memory.address
        self._pinned = cupy.cuda.alloc_pinned_memory(memory.size_bytes)
        self.host: HostArray = np.frombuffer(self._pinned, np.uint8, memory.size_bytes)
        # A blocking event leaves the core to others while the host waits.
        self._arrived = cupy.cuda.Event(block=True, disable_timing=True)
        self._released = cupy.cuda.Event(disable_timing=True)
        # CuPy hands on memory that kernels asked for before still use, ...
        self._released.record(kernels)
        # ... and this memory to the next who asks, though an upload may still write to it.
        weakref.finalize(self, self._arrived.synchronize)

    def wait(self) -> None:
        """Wait until the last upload has arrived."""
        self._device.use()
        self._arrived.synchronize()

    def upload(self) -> None:
        """Upload on the stream of uploads, behind the last release."""
        self._device.use()
        self._uploads.wait_event(self._released)
        size_bytes, kind = self.host.nbytes, runtime.memcpyHostToDevice
        stream = self._uploads.ptr
        runtime.memcpyAsync(self.address, self._pinned.ptr, size_bytes, kind, stream)
        self._arrived.record(self._uploads)

    def acquire(self) -> None:
        """Have the kernels' stream wait for the upload."""
        self._refuse_capture("what is uploaded")
        self._kernels.wait_event(self._arrived)

    def release(self) -> None:
        """Note the end of what has been asked for on the kernels' stream."""
        self._refuse_capture("what is uploaded")
        self._released.record(self._kernels)
