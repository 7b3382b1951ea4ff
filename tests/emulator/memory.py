"""Emulated device memory in host memory, with guard zones.

The address of an allocation is its address in host memory. On both sides is a guard zone that must
not be written. New memory holds garbage; freed memory is quarantined for a while, filled with other
garbage, so that use after free is detected. All garbage is NaN, read as float32, float16 or
bfloat16.
"""

import bisect
import collections
import ctypes

import numpy as np

from minicaffe.backends.cuda.driver.device import Address
from minicaffe.errors import DeviceMemoryError

ZONE_BYTES = 256
FRESH = b"\xff\xff"
ZONE = b"\xfd\xff" * (ZONE_BYTES // 2)
FREED = b"\xfb\xff"
# Only the beginning is filled: larger allocations are library workspaces, and filling is slow.
GARBAGE_BYTES = 4 << 20
FREED_BYTES = 64 << 20


class DeviceFault(Exception):
    """An operation that would crash a GPU or corrupt results silently.

    Not one of minicaffe's errors, so that only tests catch it.
    """


class EmulatedMemory:
    """An allocation, which is freed with the last reference to this object."""

    def __init__(self, heap, block):
        self._heap, self._block = heap, block
        self.address = Address(block.start)
        self.size_bytes = block.size_bytes

    def __del__(self):
        self._heap.free(self._block)


class Block:
    """Host memory: alignment, guard zone, allocation, guard zone."""

    def __init__(self, size_bytes):
        self.size_bytes = size_bytes
        self._bytes = np.empty(size_bytes + 2 * ZONE_BYTES + 256, np.uint8)
        first = self._bytes.ctypes.data
        self.start = (first + ZONE_BYTES + 255) // 256 * 256
        self.end = self.start + size_bytes
        offset = self.start - first
        self.content = self._bytes[offset : offset + size_bytes]
        even = min(size_bytes, GARBAGE_BYTES) // 2 * 2
        self._beginning = self.content[:even].view(np.uint16)
        self.fill(FRESH)
        ctypes.memmove(self.start - ZONE_BYTES, ZONE, ZONE_BYTES)
        ctypes.memmove(self.end, ZONE, ZONE_BYTES)

    def fill(self, garbage):
        """Fill the beginning of the content with a pattern of two bytes."""
        self._beginning[:] = np.frombuffer(garbage, np.uint16)
        if self.size_bytes % 2:
            self.content[-1] = garbage[0]

    def check_freed(self):
        """Raise if the memory was written after it was freed."""
        if (self._beginning != np.frombuffer(FREED, np.uint16)).any():
            raise DeviceFault(f"written to {self} after it was freed")

    def check(self):
        """Raise if the guard zones were written."""
        for name, zone in (("before", self.start - ZONE_BYTES), ("after", self.end)):
            found = ctypes.string_at(zone, ZONE_BYTES)
            if found != ZONE:
                place = next(i for i in range(ZONE_BYTES) if found[i] != ZONE[i])
                distance = place if name == "after" else ZONE_BYTES - place
                raise DeviceFault(f"written {name} {self}, {distance} bytes from it")

    def __str__(self):
        return f"the allocation of {self.size_bytes} bytes at {self.start:#x}"


class Heap:
    """All allocations of a device.

    Parameters
    ----------
    total_bytes : int
        Memory of the device; may be set at any time.
    """

    def __init__(self, total_bytes):
        self.total_bytes = total_bytes
        self.used_bytes = 0
        self._starts = []
        self._live = {}
        self._freed = collections.deque()
        self._freed_bytes = 0
        self._found = []

    def allocate(self, size_bytes):
        """Return new memory, which holds NaN."""
        if size_bytes < 0:
            raise DeviceFault(f"allocation of {size_bytes} bytes")
        free = self.total_bytes - self.used_bytes
        if size_bytes > free:
            raise DeviceMemoryError(
                f"{size_bytes} bytes of device memory asked for; {free} are free"
            )
        block = Block(size_bytes)
        bisect.insort(self._starts, block.start)
        self._live[block.start] = block
        self.used_bytes += size_bytes
        return EmulatedMemory(self, block)

    def free(self, block):
        """Free memory. Called by the garbage collector, so errors are raised later, by `check`."""
        self._note(block.check)
        self._starts.remove(block.start)
        del self._live[block.start]
        self.used_bytes -= block.size_bytes
        block.fill(FREED)
        self._freed.append(block)
        self._freed_bytes += block.size_bytes
        while self._freed_bytes > FREED_BYTES:
            oldest = self._freed.popleft()
            self._freed_bytes -= oldest.size_bytes
            self._note(oldest.check_freed)

    def block(self, address, size_bytes, purpose):
        """Return the allocation that holds `size_bytes` bytes at `address`.

        Raises
        ------
        DeviceFault
            If there is none.
        """
        address = int(address)
        i = bisect.bisect_right(self._starts, address) - 1
        block = self._live[self._starts[i]] if i >= 0 else None
        if block is not None and address < max(block.end, block.start + 1):
            if address + size_bytes > block.end:
                inside = address - block.start
                raise DeviceFault(f"{purpose}: {size_bytes} bytes from byte {inside} of {block}")
            return block
        for freed in self._freed:
            if freed.start <= address < freed.end:
                raise DeviceFault(f"{purpose}: {freed} was freed")
        raise DeviceFault(f"{purpose}: address {address:#x} is in no allocation")

    def view(self, address, count, dtype, purpose):
        """Return `count` values at `address` as an array."""
        dtype = np.dtype(dtype)
        block = self.block(address, count * dtype.itemsize, purpose)
        offset = address - block.start
        return block.content[offset : offset + count * dtype.itemsize].view(dtype)

    def check(self):
        """Raise if guard zones or freed memory were written."""
        for block in self._live.values():
            self._note(block.check)
        for block in self._freed:
            self._note(block.check_freed)
        if self._found:
            found, self._found = self._found, []
            raise DeviceFault("; ".join(found))

    def _note(self, check):
        try:
            check()
        except DeviceFault as fault:
            self._found.append(str(fault))
