"""The memory of tensors, which they may share: views of one another, or used at different times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicaffe.backends.cuda.driver.device import Device, DeviceMemory
from minicaffe.backends.cuda.runtime.format import PLAIN, Format
from minicaffe.ops.backend import HostArray, Shape

if TYPE_CHECKING:
    from minicaffe.backends.cuda.runtime.tensor import CudaTensor


class SharedArena:
    """Memories that several tensors use at different times, each in the order of its own needs."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memories: list[DeviceMemory] = []
        # What the largest tensor needs, so that no memory must grow.
        self.size_bytes = 0

    def memory(self, index: int, size_bytes: int) -> DeviceMemory:
        """Return the memory of this index, new, or larger, if it must be."""
        if index == len(self._memories):
            self._memories.append(self._device.allocate(max(self.size_bytes, size_bytes)))
        elif self._memories[index].size_bytes < size_bytes:
            self._memories[index] = self._device.allocate(size_bytes)
        return self._memories[index]


class Storage:
    """The plain memory, which views share, and who has the newest values."""

    def __init__(self) -> None:
        self.arena: SharedArena | None = None
        # Indices of the arena's memories: how many are used, and those that are free again.
        self.n_arena_blocks, self.free_blocks = 0, list[int]()
        self.plain: DeviceMemory | None = None
        # Whoever holds this object has the newest values.
        self.token = object()
        # The tensor that has them in formats of its own alone; None if the plain memory has them.
        self.owner: CudaTensor | None = None
        self.is_zero = True
        self.mirror: HostArray | None = None
        self.is_mirror_current = False
        self.may_host_be_newer = False


class Buffers:
    """The memories of a tensor, one for each format; the plain one is its storage's.

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
        """Size of all of them."""
        plain = self._storage.plain
        memories = [*self._own.values(), *([plain] if plain else [])]
        return sum(memory.size_bytes for memory in memories)

    def get(self, wanted: Format, shape: Shape) -> DeviceMemory:
        """Return the memory for values of this shape in a format, new if there is none."""
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
        """Give back what is not for values of this shape."""
        storage = self._storage
        if storage.plain is not None and storage.plain.size_bytes < PLAIN.size_bytes(shape):
            storage.plain = None
        self._own.clear()
        storage.free_blocks += self._arena_blocks
        self._arena_blocks.clear()

    def take(self, arena: SharedArena, shape: Shape) -> None:
        """Have all memory from a arena from now on."""
        storage = self._storage
        arena.size_bytes = max(arena.size_bytes, PLAIN.size_bytes(shape))
        storage.arena, storage.plain = arena, None
        storage.n_arena_blocks, storage.free_blocks = 0, []
        self._own.clear()
        self._arena_blocks.clear()

    def _memory(self, size_bytes: int, used_blocks: list[int]) -> DeviceMemory:
        """Return new or used_blocks memory; add the index of the latter to `used_blocks`."""
        storage, size_bytes = self._storage, max(size_bytes, 4)
        if storage.arena is None:
            return self._device.allocate(size_bytes)
        if not storage.free_blocks:
            storage.free_blocks.append(storage.n_arena_blocks)
            storage.n_arena_blocks += 1
        used_blocks.append(storage.free_blocks.pop())
        return storage.arena.memory(used_blocks[-1], size_bytes)
