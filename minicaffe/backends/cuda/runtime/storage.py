"""Memory of tensors, shared between views and between tensors that are not live together."""

from __future__ import annotations

import itertools

from minicaffe.backends.cuda.driver.device import Device, DeviceMemory
from minicaffe.backends.cuda.runtime.format import PLAIN, Format
from minicaffe.backends.cuda.runtime.loss_scale import LossScale
from minicaffe.ops.backend import HostArray, Shape

_NUMBERS = itertools.count()


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
        # Identifies it in a `ChangeLog`.
        self.number = next(_NUMBERS)
        self.arena: SharedArena | None = None
        # Indices of the arena's allocations: how many are used, and the freed ones.
        self.n_arena_blocks, self.free_blocks = 0, list[int]()
        self.plain: DeviceMemory | None = None
        # The tensors that hold this object have the newest values.
        self.token = object()
        # The buffers that alone have them; None if the plain memory has them.
        self.owner: Buffers | None = None
        self.is_zero = True
        self.mirror: HostArray | None = None
        self.is_mirror_current = False
        self.may_host_be_newer = False


class Buffers:
    """The buffers of a tensor, one for each format, and which of them hold the newest values.

    The plain buffer belongs to the storage, which is an argument of the methods: the storage refers
    to its owner, and a reference back would be a cycle, freed by the garbage collector only.

    Parameters
    ----------
    device : Device
    shape : tuple of int
        Shape of the tensor.

    Attributes
    ----------
    ready : frozenset of Format
        The formats whose buffers hold the newest values.
    newest : Format
        The format that they were last written in.
    borrowed : DeviceMemory, optional
        Memory of another tensor that holds them in the format `newest`; see `DeviceTensor.borrow`.
    alternate : int
        Which of two buffers of one format is the present one; see `DeviceTensor.swap_memory`.
    scale : LossScale, optional
        Loss scale of float16 values.
    """

    def __init__(self, device: Device, shape: Shape) -> None:
        self._device = device
        self.shape = shape
        self.ready: frozenset[Format] = frozenset()
        self.newest = PLAIN
        self.borrowed: DeviceMemory | None = None
        self.lender: DeviceMemory | None = None
        self.alternate = 0
        self.scale: LossScale | None = None
        self._own: dict[Format, DeviceMemory] = {}
        self._alternates: tuple[Format, DeviceMemory, DeviceMemory] | None = None
        self._arena_blocks: list[int] = []

    def size_bytes(self, storage: Storage) -> int:
        """Return the total size of the buffers."""
        plain = storage.plain
        memories = [*self._own.values(), *([plain] if plain else [])]
        return sum(memory.size_bytes for memory in memories)

    def hold(self, ready: frozenset[Format], newest: Format, is_borrowed: bool = False) -> None:
        """Set which buffers hold the newest values; if borrowed, those of the last `borrow`."""
        self.ready, self.newest = ready, newest
        self.borrowed = self.lender if is_borrowed else None

    def borrow(self, memory: DeviceMemory, form: Format) -> bool:
        """Hold the values in memory of another tensor; return whether it is new as a lender."""
        is_new = self.lender is not memory
        self.lender = memory
        self.hold(frozenset((form,)), form, is_borrowed=True)
        return is_new

    def alternate_with(self, storage: Storage, other: Buffers, other_storage: Storage) -> bool:
        """Let both have the same two buffers of the format `newest`, one each.

        Returns
        -------
        bool
            Whether they do; not if this has two buffers with something else already.
        """
        if self._alternates is None:
            form = self.newest
            one, two = self.get(storage, form), other.get(other_storage, form)
            self._alternates = other._alternates = form, one, two
            self.alternate, other.alternate = 0, 1
        return self._alternates is other._alternates and self._alternates[0] == self.newest

    def select(self, alternate: int) -> None:
        """Make one of the two buffers, if there are, the present one."""
        self.alternate = alternate
        if self._alternates is not None:
            form, *memories = self._alternates
            self._own[form] = memories[alternate]

    def get(self, storage: Storage, wanted: Format) -> DeviceMemory:
        """Return the buffer of a format; allocate it if there is none."""
        if self.borrowed is not None and wanted == self.newest:
            return self.borrowed
        size_bytes = wanted.size_bytes(self.shape)
        if wanted == PLAIN:
            if storage.plain is None or storage.plain.size_bytes < size_bytes:
                storage.plain = self._memory(storage, size_bytes, [])
            return storage.plain
        buffer = self._own.get(wanted)
        if buffer is None:
            buffer = self._own[wanted] = self._memory(storage, size_bytes, self._arena_blocks)
        return buffer

    def reshape(self, storage: Storage, shape: Shape) -> None:
        """Change the shape; free the buffers that do not fit its values."""
        if storage.plain is not None and storage.plain.size_bytes < PLAIN.size_bytes(shape):
            storage.plain = None
        self._clear()
        storage.free_blocks += self._arena_blocks
        self._arena_blocks.clear()
        self.shape = shape

    def take(self, storage: Storage, arena: SharedArena) -> None:
        """Allocate all buffers from an arena from now on."""
        arena.size_bytes = max(arena.size_bytes, PLAIN.size_bytes(self.shape))
        storage.arena, storage.plain = arena, None
        storage.n_arena_blocks, storage.free_blocks = 0, []
        self._clear()
        self._arena_blocks.clear()

    def _clear(self) -> None:
        self._own.clear()
        self._alternates, self.alternate = None, 0

    def _memory(self, storage: Storage, size_bytes: int, used_blocks: list[int]) -> DeviceMemory:
        """Return new memory; if it comes from the arena, append its index to `used_blocks`."""
        size_bytes = max(size_bytes, 4)
        if storage.arena is None:
            return self._device.allocate(size_bytes)
        if not storage.free_blocks:
            storage.free_blocks.append(storage.n_arena_blocks)
            storage.n_arena_blocks += 1
        used_blocks.append(storage.free_blocks.pop())
        return storage.arena.memory(used_blocks[-1], size_bytes)
