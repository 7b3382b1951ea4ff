"""Tensors whose values may lie in a layout of oneDNN's choice.

A tensor's newest values lie in one or several buffers: the plain one (C order) and one for each
layout that a kernel asked for. A kernel names the layout it wants with `source` and `target`; a
reorder happens only if no buffer holds the newest values in it. Whoever takes a live view of the
memory (`host`, `view`) pins the tensor: from then on the plain buffer alone counts, and what
kernels keep elsewhere is a copy made for one call.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy.typing as npt

from minicaffe.backends.onednn.runtime.memory import Buffer, Layout
from minicaffe.backends.onednn.runtime.reorder import Reorders
from minicaffe.backends.reference.tensor import CompletedFuture
from minicaffe.ops.backend import Array, HostArray, Shape

FLOAT_BYTES = 4


class _Buffers:
    """Where a tensor and its views have their buffers from: new ones, or those of shared memory.

    The plain buffer is one for all views; it is made when first needed, grows and never shrinks.
    """

    def __init__(self, engine: int) -> None:
        self._engine = engine
        self._plain: Buffer | None = None
        # What all tensors over the same memory use, each in the order of its own needs.
        self.shared: list[Buffer] | None = None
        self._n_used, self._spare = 0, list[Buffer]()

    def plain(self, size: int) -> Buffer:
        buffer, needed = self._plain, size * FLOAT_BYTES
        if buffer is None:
            buffer = self._plain = self.take(max(needed, FLOAT_BYTES))
        elif buffer.size_bytes < needed:
            buffer.reserve(needed)
        return buffer

    def take(self, size_bytes: int) -> Buffer:
        if self.shared is None:
            return Buffer(size_bytes, self._engine)
        if not self._spare:
            if self._n_used == len(self.shared):
                self.shared.append(Buffer(0, self._engine))
            self._spare.append(self.shared[self._n_used])
            self._n_used += 1
        buffer = self._spare.pop()
        buffer.reserve(size_bytes)
        return buffer

    def give_back(self, buffers: Iterable[Buffer]) -> None:
        if self.shared is not None:
            self._spare += buffers

    def share(self, shared: list[Buffer] | None) -> None:
        self.shared, self._plain = shared, None
        self._n_used, self._spare = 0, []


class OneDnnTensor:
    """A logical C-ordered float32 array in one or several physical layouts.

    Some of these may be of bfloat16: then everybody who asks for float32 gets the values widened.
    """

    def __init__(self, reorders: Reorders, shape: Shape, buffers: _Buffers | None = None) -> None:
        self._reorders = reorders
        self._engine = reorders.engine.handle
        self._shape, self._size = shape, math.prod(shape)
        self._buffers = buffers or _Buffers(self._engine)
        self._packed: dict[Layout, Buffer] = {}
        # Memories that hold the newest values; nothing in it while the tensor is all zeros.
        self._ready: dict[Layout, int] = {}
        self._is_plain_ready = False
        self._newest = Layout.plain(shape)
        self.is_zero = True
        self.is_pinned = False
        # Counts what may have changed the values; of a pinned tensor, nobody knows.
        self.version = 0
        self._array: Array = None
        self._array_of: Array = None

    @property
    def shape(self) -> Shape:
        """Sizes of the logical axes."""
        return self._shape

    @property
    def layout(self) -> Layout:
        """The float32 layout that a consumer best follows: the order of `stored`."""
        return self._newest.widened

    @property
    def stored(self) -> Layout:
        """The layout that the values were last written in, for those who take bfloat16 as well."""
        return self._newest

    # What everybody may use: plain arrays.

    def read(self) -> Array:
        """Return the values in C order."""
        if not self._is_plain_ready or self.is_pinned:
            self._gather()
        return self._view_of_plain()

    def write(self) -> Array:
        """Return the plain array; what it holds is undefined, and it is newest from now on."""
        array = self._view_of_plain()
        self._plain_is_newest()
        return array

    def update(self) -> Array:
        """Return the values in C order, newest from now on."""
        array = self.read()
        self._plain_is_newest()
        return array

    def get(self) -> HostArray:
        """Return a copy."""
        if self.is_zero or self._is_plain_ready or self.is_pinned:
            copied: HostArray = self.read().copy()
            return copied
        copy = Buffer(self._size * FLOAT_BYTES, self._engine)
        self._reorder_newest_to(copy, Layout.plain(self._newest.shape))
        return copy.values.reshape(self._shape)

    def get_async(self) -> CompletedFuture:
        """Return a copy, made at once."""
        return CompletedFuture(self.get())

    def set(self, values: npt.ArrayLike) -> None:
        """Overwrite the values."""
        self.write()[...] = values

    def clear(self) -> None:
        """Overwrite all values with zero."""
        if self.is_pinned:
            self._view_of_plain().fill(0)
            return
        self._ready.clear()
        self._is_plain_ready = False
        self.is_zero = True
        self.version += 1

    def host(self) -> HostArray:
        """Return a live view; pins the tensor."""
        self._pin()
        view: HostArray = self._view_of_plain()
        return view

    def reshape(self, shape: Shape) -> None:
        """Change the shape; values are kept where they fit."""
        if shape == self._shape:
            return
        if not self.is_zero and self._buffers.shared is None:
            self._gather()
            self._plain_is_newest()
        self._drop_packed()
        self._shape, self._size = shape, math.prod(shape)
        self._newest = Layout.plain(shape)
        self._array = None
        self.version += 1

    def view(self, shape: Shape) -> OneDnnTensor:
        """Return a tensor of another shape over the same memory; pins both."""
        self._pin()
        self._view_of_plain()
        other = OneDnnTensor(self._reorders, shape, self._buffers)
        other.is_zero, other.is_pinned = False, True
        return other

    def share_memory_with(self, other: OneDnnTensor) -> None:
        """Use the memory of `other` from now on, views included; values of both are lost."""
        if other._buffers.shared is None:
            other._share([])
        self._share(other._buffers.shared)

    # What kernels of this backend use: memories in a layout.

    def source(self, layout: Layout) -> int:
        """Return a memory that holds the values in this layout."""
        memory = self._ready.get(layout)
        if memory is not None and not self.is_pinned:
            return memory
        return self._make_ready(layout)

    def target(self, layout: Layout) -> int:
        """Return a memory in this layout that the caller overwrites; it is newest from now on."""
        buffer = self._plain_buffer() if layout.is_plain else self._packed_buffer(layout)
        memory = buffer.memory(layout)
        self._ready.clear()
        self._ready[layout] = memory
        self._is_plain_ready = layout.is_plain
        self._newest = layout
        self.is_zero = False
        self.version += 1
        return memory

    def settle(self) -> None:
        """Bring what a kernel wrote to the plain buffer of a pinned tensor."""
        if not self._newest.is_plain:
            plain = Layout.plain(self._newest.shape)
            self._reorder_newest_to(self._plain_buffer(), plain)
            self._plain_is_newest()

    def copy_from(self, other: OneDnnTensor) -> None:
        """Overwrite the values with those of a tensor of the same shape, in its layout."""
        layout = other.stored
        given = other.source(layout)
        self._reorders(layout, given, layout, self.target(layout))
        if self.is_pinned:
            self.settle()

    def copy_place(self, whole: OneDnnTensor, layout: Layout, place: Layout, own: Layout) -> None:
        """Overwrite the values, in layout `own`, with those at a place in another tensor."""
        whole.source(layout)
        buffer = whole._plain_buffer() if layout.is_plain else whole._packed[layout]
        self._reorders(place, buffer.memory(place), own, self.target(own))
        if self.is_pinned:
            self.settle()

    def paste(self, layout: Layout, place: Layout, part: OneDnnTensor) -> None:
        """Overwrite what lies at a place; the caller has made `layout` the target before."""
        own = Layout.plain(part.shape)
        buffer = self._plain_buffer() if layout.is_plain else self._packed[layout]
        self._reorders(own, part.source(own), place, buffer.memory(place))

    def take_from(self, other: OneDnnTensor, layout: Layout) -> None:
        """Overwrite the values with those of a tensor that is about to be overwritten.

        Exchanges the two tensors' buffers where nobody else holds on to them.
        """
        memory = other.source(layout)
        if layout.is_plain or other.is_pinned or self.is_pinned:
            self._reorders(layout, memory, layout, self.target(layout))
            return
        mine = self._packed_buffer(layout)
        self._packed[layout], other._packed[layout] = other._packed[layout], mine
        other._ready.clear()
        self.target(layout)

    def add(self, other: OneDnnTensor) -> None:
        """Add the values of another tensor, as many, in the layout that this one has."""
        layout, given = self.layout, other.layout
        if given.shape != layout.shape:
            given = Layout.plain(layout.shape)
        memory = self.source(layout)
        self._reorders(given, other.source(given), layout, memory, adds=True)
        self.target(layout)

    def values(self, layout: Layout) -> Array:
        """Return the newest values in a float32 layout as a flat array, padding included."""
        self.source(layout)
        return self._values_in(layout)

    def values_to_write(self, layout: Layout) -> Array:
        """Return a flat array in this layout that the caller overwrites; newest from now on."""
        self.target(layout)
        return self._values_in(layout)

    def steps(self, layout: Layout) -> list[int]:
        """Return a memory for each index of the first axis, for values that stay in C order."""
        buffer = self._plain_buffer()
        return [buffer.memory(layout, t * layout.size_bytes) for t in range(self._shape[0])]

    def address(self) -> int:
        """Return where the values lie in C order, to be read."""
        self.read()
        return self._plain_buffer().address

    def address_to_update(self) -> int:
        """Return where the values lie in C order, to be changed."""
        self.update()
        return self._plain_buffer().address

    def address_to_write(self) -> int:
        """Return where to write the values in C order, to be overwritten as a whole."""
        self._plain_is_newest()
        return self._plain_buffer().address

    # How it works inside.

    def _plain_buffer(self) -> Buffer:
        return self._buffers.plain(self._size)

    def _values_in(self, layout: Layout) -> Array:
        if layout.is_plain:
            return self._plain_buffer().values[: self._size]
        return self._packed[layout].values[: layout.size_bytes // FLOAT_BYTES]

    def _packed_buffer(self, layout: Layout) -> Buffer:
        buffer = self._packed.get(layout)
        if buffer is None:
            buffer = self._packed[layout] = self._buffers.take(layout.size_bytes)
        return buffer

    def _view_of_plain(self) -> Array:
        buffer = self._plain_buffer()
        if self._array is None or self._array_of is not buffer.values:
            self._array = buffer.values[: self._size].reshape(self._shape)
            self._array_of = buffer.values
        return self._array

    def _share(self, buffers: list[Buffer] | None) -> None:
        self._drop_packed()
        self._buffers.share(buffers)
        self._newest = Layout.plain(self._shape)
        self.is_zero, self._is_plain_ready = not self.is_pinned, self.is_pinned

    def _drop_packed(self) -> None:
        self._buffers.give_back(self._packed.values())
        self._packed.clear()
        self._ready.clear()

    def _plain_is_newest(self) -> None:
        self._ready.clear()
        self._is_plain_ready = True
        self._newest = Layout.plain(self._shape)
        self.is_zero = False
        self.version += 1

    def _pin(self) -> None:
        if not self.is_pinned:
            self._gather()
            self._plain_is_newest()
            self.is_pinned = True

    def _gather(self) -> None:
        """Make the plain buffer hold the newest values."""
        if self.is_zero:
            self._view_of_plain().fill(0)
            self._plain_is_newest()
        elif not self._newest.is_plain:
            self._reorder_newest_to(self._plain_buffer(), Layout.plain(self._newest.shape))
        self._is_plain_ready = True

    def _make_ready(self, layout: Layout) -> int:
        if layout.is_plain:
            self._gather()
            memory = self._plain_buffer().memory(layout)
        else:
            buffer = self._packed_buffer(layout)
            memory = buffer.memory(layout)
            if self.is_zero:
                buffer.clear()
            elif layout.shape == self._newest.shape and not self._newest.is_plain:
                self._reorder_newest_to(buffer, layout)
            else:
                self._gather()
                plain = Layout.plain(layout.shape)
                self._reorders(plain, self._plain_buffer().memory(plain), layout, memory)
        if not self.is_zero:
            self._ready[layout] = memory
        return memory

    def _reorder_newest_to(self, buffer: Buffer, layout: Layout) -> None:
        newest = self._newest
        self._reorders(newest, self._packed[newest].memory(newest), layout, buffer.memory(layout))

    def __repr__(self) -> str:
        return f"OneDnnTensor{self._shape}"
