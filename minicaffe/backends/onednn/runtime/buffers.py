"""Where the buffers of a tensor come from, and which of them hold its values."""

from __future__ import annotations

import math
from collections.abc import Iterable

from minicaffe.backends.onednn.runtime.call_log import CallLog, Observer, StorageState
from minicaffe.backends.onednn.runtime.memory import Buffer, Layout
from minicaffe.ops.backend import Array, Shape

FLOAT_BYTES = 4


class TensorBuffers:
    """Allocator of a tensor and its views: new buffers, or those of memory shared with others.

    All views share the plain buffer; it is allocated on first use, grows and never shrinks.

    Attributes
    ----------
    shared : list of Buffer or None
        What tensors that are never live together use for further layouts, each in its order of
        allocation; None if the memory is the tensor's own.
    """

    def __init__(self, engine: int) -> None:
        self._engine = engine
        self._plain: Buffer | None = None
        self.shared: list[Buffer] | None = None
        self._n_used, self._free = 0, list[Buffer]()
        # The part of memory for the first buffer, while that is not allocated.
        self._place: Buffer | None = None

    def plain(self, size: int) -> Buffer:
        """Return the buffer of so many values in C order."""
        buffer, needed = self._plain, size * FLOAT_BYTES
        if buffer is None:
            buffer = self._plain = self.allocate(max(needed, FLOAT_BYTES))
        elif buffer.size_bytes < needed:
            buffer.reserve(needed)
        return buffer

    @property
    def plain_if_allocated(self) -> Buffer | None:
        """The buffer in C order, None before its first use."""
        return self._plain

    def allocate(self, size_bytes: int) -> Buffer:
        """Return a buffer for one more layout."""
        if self.shared is None:
            return Buffer(size_bytes, self._engine)
        if self._place is not None and size_bytes <= self._place.size_bytes:
            place, self._place = self._place, None
            return place
        if not self._free:
            if self._n_used == len(self.shared):
                self.shared.append(Buffer(0, self._engine))
            self._free.append(self.shared[self._n_used])
            self._n_used += 1
        buffer = self._free.pop()
        buffer.reserve(size_bytes)
        return buffer

    def release(self, buffers: Iterable[Buffer]) -> None:
        """Take back what `allocate` returned."""
        if self.shared is not None:
            self._free += buffers

    def share(self, place: Buffer, shared: list[Buffer]) -> None:
        """Use a place for the first layout that fits into it, and shared buffers for others."""
        self.shared, self._place, self._plain = shared, place, None
        self._n_used, self._free = 0, []


class TensorStorage:
    """Base of the tensors: the buffers in several layouts, and which of them hold the values.

    Attributes
    ----------
    is_zero : bool
        Whether the tensor is cleared and no buffer has been written since.
    is_pinned : bool
        Whether a live view of the plain buffer exists.
    version : int
        Counts possible changes of the values; meaningless for a pinned tensor, because writes to a
        view are not noticed.
    """

    def __init__(self, log: CallLog, shape: Shape, buffers: TensorBuffers) -> None:
        self._log = log
        self._shape, self._size = shape, math.prod(shape)
        self._buffers = buffers
        self._packed: dict[Layout, Buffer] = {}
        # Memories that hold the newest values; empty while `is_zero`.
        self._ready: dict[Layout, int] = {}
        self._is_plain_ready = False
        self._newest = Layout.plain(shape)
        self.is_zero = True
        self.is_pinned = False
        self.version = 0
        self._array: Array = None
        self._array_of: Array = None
        # Of recordings that use this tensor.
        self._observers: tuple[Observer, ...] = ()

    @property
    def shape(self) -> Shape:
        """Sizes of the logical axes."""
        return self._shape

    @property
    def shares_memory(self) -> bool:
        """Whether other tensors overwrite the memory."""
        return self._buffers.shared is not None

    @property
    def is_in_sum(self) -> bool:
        """Whether the values are a sum to compute, or a term of one."""
        return False

    def state(self) -> StorageState:
        """Return what decides which native calls a kernel makes."""
        return StorageState(
            *(self._shape, self._newest, self._ready.copy(), self._is_plain_ready, self.is_zero),
            *(self.is_pinned, self.is_in_sum, self._buffers.plain_if_allocated),
            *(self._packed.copy(), self.version),
        )

    def take_state(self, state: StorageState, keeps: bool = False) -> None:
        """Take the state that repeated calls leave, of the same shape and buffers.

        Parameters
        ----------
        state : StorageState
        keeps : bool
            Whether memories that hold the present values keep holding them.
        """
        self._note_change()
        self._ready = {**self._ready, **state.ready} if keeps else state.ready.copy()
        self._is_plain_ready = state.is_plain_ready or (keeps and self._is_plain_ready)
        self._newest, self.is_zero = state.newest, state.is_zero

    def add_observer(self, observer: Observer) -> None:
        """Add the observer's key to its set before each change of the state, from now on."""
        self._observers = (*self._observers, observer)

    def stop_observing(self, changed: set[int]) -> None:
        """Forget the observers with this set."""
        self._observers = tuple(o for o in self._observers if o.changed is not changed)

    def _note_change(self) -> None:
        """Tell observers and the log that the state changes next."""
        for changed, key in self._observers:
            changed.add(key)
        if self._log.is_on:
            self._log.touch(self)

    def _use_on_host(self) -> None:
        """Tell the log that values are used or changed by other means than native calls."""
        if self._log.is_on:
            self._log.use_on_host(self)

    def _plain_buffer(self) -> Buffer:
        return self._buffers.plain(self._size)

    def _packed_buffer(self, layout: Layout) -> Buffer:
        buffer = self._packed.get(layout)
        if buffer is None:
            buffer = self._packed[layout] = self._buffers.allocate(layout.size_bytes)
        return buffer

    def _values_in(self, layout: Layout) -> Array:
        if layout.is_plain:
            return self._plain_buffer().values[: self._size]
        return self._packed[layout].values[: layout.size_bytes // FLOAT_BYTES]

    def _view_of_plain(self) -> Array:
        buffer = self._plain_buffer()
        if self._array is None or self._array_of is not buffer.values:
            self._array = buffer.values[: self._size].reshape(self._shape)
            self._array_of = buffer.values
        return self._array

    def _drop_packed(self) -> None:
        self._note_change()
        self._buffers.release(self._packed.values())
        self._packed.clear()
        self._ready.clear()

    def _plain_is_newest(self) -> None:
        if self._observers or self._log.is_on:
            self._note_change()
        self._ready.clear()
        self._is_plain_ready = True
        self._newest = Layout.plain(self._shape)
        self.is_zero = False
        self.version += 1
