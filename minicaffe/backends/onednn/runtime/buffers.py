"""Where the buffers of a tensor come from."""

from __future__ import annotations

from collections.abc import Iterable

from minicaffe.backends.onednn.runtime.memory import Buffer

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
