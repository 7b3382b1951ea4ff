"""Memory of tensors, shared between views and between tensors that are not live together."""

from __future__ import annotations

from typing import Protocol

from minicaffe.backends.cuda.driver.device import Device, DeviceMemory
from minicaffe.backends.cuda.runtime.format import PLAIN, Format
from minicaffe.ops.backend import HostArray, Shape


class StorageOwner(Protocol):
    """A tensor that holds the newest values in a format of its own."""

    def write_plain(self) -> None:
        """Convert the newest values into the plain memory."""


class SharedArena:
    """Allocations shared by tensors that are not live together; each takes them by index."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memories: list[DeviceMemory] = []
        # Need of the largest tensor, so that no allocation must grow.
        self.size_bytes = 0

    def memory(self, index: int, size_bytes: int) -> DeviceMemory:
        """Return the allocation of this index; allocate it, or a larger one, if necessary."""
        if index == len(self._memories):
            self._memories.append(self._device.allocate(max(self.size_bytes, size_bytes)))
        elif self._memories[index].size_bytes < size_bytes:
            self._memories[index] = self._device.allocate(size_bytes)
        return self._memories[index]


class Storage:
    """The plain memory, which views share, and which tensor holds the newest values."""

    def __init__(self) -> None:
        self.arena: SharedArena | None = None
        # Indices of the arena's allocations: how many are used, and the freed ones.
        self.n_arena_blocks, self.free_blocks = 0, list[int]()
        self.plain: DeviceMemory | None = None
        # The tensors that hold this object have the newest values.
        self.token = object()
        # The tensor that alone has them, in its own formats; None if the plain memory has them.
        self.owner: StorageOwner | None = None
        self.is_zero = True
        self.mirror: HostArray | None = None
        self.is_mirror_current = False
        self.may_host_be_newer = False


class Buffers:
    """The buffers of a tensor, one for each format; the plain one belongs to its storage.

    Parameters
    ----------
    device : Device
    storage : Storage
    """

    def __init__(self, device: Device, storage: Storage) -> None:
        self._device, self._storage = device, storage
        self._own: dict[Format, DeviceMemory] = {}
        self._arena_blocks: list[int] = []

    @property
    def size_bytes(self) -> int:
        """Total size of the buffers."""
        plain = self._storage.plain
        memories = [*self._own.values(), *([plain] if plain else [])]
        return sum(memory.size_bytes for memory in memories)

    def get(self, wanted: Format, shape: Shape) -> DeviceMemory:
        """Return the buffer for values of this shape in a format; allocate it if there is none."""
        size_bytes, storage = wanted.size_bytes(shape), self._storage
        if wanted == PLAIN:
            if storage.plain is None or storage.plain.size_bytes < size_bytes:
                storage.plain = self._memory(size_bytes, [])
            return storage.plain
        buffer = self._own.get(wanted)
        if buffer is None:
            buffer = self._own[wanted] = self._memory(size_bytes, self._arena_blocks)
        return buffer

    def reshape(self, shape: Shape) -> None:
        """Free the buffers that do not fit values of this shape."""
        storage = self._storage
        if storage.plain is not None and storage.plain.size_bytes < PLAIN.size_bytes(shape):
            storage.plain = None
        self._own.clear()
        storage.free_blocks += self._arena_blocks
        self._arena_blocks.clear()

    def take(self, arena: SharedArena, shape: Shape) -> None:
        """Allocate all buffers from an arena from now on."""
        storage = self._storage
        arena.size_bytes = max(arena.size_bytes, PLAIN.size_bytes(shape))
        storage.arena, storage.plain = arena, None
        storage.n_arena_blocks, storage.free_blocks = 0, []
        self._own.clear()
        self._arena_blocks.clear()

    def _memory(self, size_bytes: int, used_blocks: list[int]) -> DeviceMemory:
        """Return new memory; if it comes from the arena, append its index to `used_blocks`."""
        storage, size_bytes = self._storage, max(size_bytes, 4)
        if storage.arena is None:
            return self._device.allocate(size_bytes)
        if not storage.free_blocks:
            storage.free_blocks.append(storage.n_arena_blocks)
            storage.n_arena_blocks += 1
        used_blocks.append(storage.free_blocks.pop())
        return storage.arena.memory(used_blocks[-1], size_bytes)
