"""Tensors with lazily converted physical layouts.

The newest values of a tensor are in one or several buffers: the plain one (C order) and one for
each layout that a kernel asked for. A kernel names a layout with `source` and `target`; a reorder
happens only if no buffer holds the newest values in that layout. A live view of the memory (`host`,
`view`) pins the tensor: from then on the plain buffer holds the values, and buffers in other
layouts are copies for one call.
"""

from __future__ import annotations

import math

import numpy.typing as npt

from minicaffe.backends.onednn.runtime.buffers import FLOAT_BYTES as FLOAT_BYTES
from minicaffe.backends.onednn.runtime.buffers import TensorBuffers
from minicaffe.backends.onednn.runtime.deferred_sum import DeferredSum
from minicaffe.backends.onednn.runtime.memory import Buffer, Layout, address_of
from minicaffe.backends.onednn.runtime.reorder import Reorders
from minicaffe.backends.reference.tensor import CompletedFuture
from minicaffe.ops.backend import Array, HostArray, Shape


class OneDnnTensor(DeferredSum):
    """A logical C-ordered float32 array in one or several physical layouts.

    A layout may be of bfloat16; a request for float32 then gets converted values.
    """

    def __init__(
        self, reorders: Reorders, shape: Shape, buffers: TensorBuffers | None = None
    ) -> None:
        engine = reorders.engine
        super().__init__(engine.log, shape, buffers or TensorBuffers(engine.handle))
        self._reorders, self._engine = reorders, engine.handle

    @property
    def layout(self) -> Layout:
        """The float32 layout to plan a consumer for: the order of `stored`, for this shape."""
        return self.stored.widened

    @property
    def stored(self) -> Layout:
        """The layout that the values were last written in, possibly of bfloat16.

        It is the plain one if the values were written in a layout that divides the axes
        differently, because a primitive would take that layout's axes for the tensor's.
        """
        newest = self._newest
        return newest if newest.shape == self._shape else Layout.plain(self._shape)

    @property
    def flat_layout(self) -> Layout:
        """The float32 order of the values, of any shape, for code that does not read the axes."""
        return self._newest.widened

    # The interface `ops.backend.Tensor`: plain arrays.

    def read(self) -> Array:
        """Return the values in C order."""
        if self._log.is_on:
            self._log.use_on_host(self)
        if not self._is_plain_ready or self.is_pinned:
            self._gather()
        return self._view_of_plain()

    def write(self) -> Array:
        """Return the plain array to overwrite; it holds the newest values from now on."""
        if self._log.is_on:
            self._log.use_on_host(self)
        self._overwrite()
        self._plain_is_newest()
        return self._view_of_plain()

    def update(self) -> Array:
        """Return the values in C order to change; the plain array is newest from now on."""
        self._settle()
        array = self.read()
        self._plain_is_newest()
        return array

    def get(self) -> HostArray:
        """Return a copy."""
        if self._log.is_on:
            self._log.use_on_host(self)
        self._add_up()
        if self.is_zero or self._is_plain_ready or self.is_pinned:
            copied: HostArray = self.read().copy()
            return copied
        copy = Buffer(self._size * FLOAT_BYTES, self._engine)
        self._reorder_newest_to(copy, Layout.plain(self._newest.shape))
        return copy.values.reshape(self._shape)

    def get_async(self) -> CompletedFuture:
        """Return a future whose copy is complete."""
        return CompletedFuture(self.get())

    def set(self, values: npt.ArrayLike) -> None:
        """Overwrite the values."""
        self.write()[...] = values

    def clear(self) -> None:
        """Overwrite all values with zero."""
        if self._observers or self._log.is_on:
            self._use_on_host()
            self._note_change()
        if self.is_pinned:
            self._view_of_plain().fill(0)
            return
        self._overwrite()
        self._ready.clear()
        self._is_plain_ready = False
        self.is_zero = True
        self.version += 1

    def host(self) -> HostArray:
        """Return a live view of the values; pins the tensor."""
        if self._log.is_on:
            self._log.use_on_host(self)
        self._pin()
        view: HostArray = self._view_of_plain()
        return view

    def reshape(self, shape: Shape) -> None:
        """Change the shape; values are preserved as far as they fit."""
        if shape == self._shape:
            return
        if self._log.is_on:
            self._log.use_on_host(self)
        self._note_change()
        self._settle()
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
        if self._log.is_on:
            self._log.use_on_host(self)
        self._pin()
        self._view_of_plain()
        other = OneDnnTensor(self._reorders, shape, self._buffers)
        other.is_zero, other.is_pinned = False, True
        return other

    def share_memory(self, place: Buffer, others: list[Buffer], keeps_terms: bool = False) -> None:
        """Share memory with other tensors from now on, views included; the values are lost.

        Parameters
        ----------
        place : Buffer
            For the first layout, if it is large enough.
        others : list of Buffer
            For further layouts; the same object for tensors that are never live together.
        keeps_terms : bool
            See `Placement`.
        """
        self._overwrite()
        self._keeps_terms = keeps_terms
        self._drop_packed()
        self._buffers.share(place, others)
        self._newest = Layout.plain(self._shape)
        self.is_zero, self._is_plain_ready = not self.is_pinned, self.is_pinned

    # The interface for kernels of this backend: memories in a layout.

    def source(self, layout: Layout) -> int:
        """Return a memory that holds the values in this layout."""
        memory = self._ready.get(layout)
        if memory is None or self.is_pinned:
            memory = self._make_ready(layout)
        if self._log.is_on:
            self._log.hand_out(self, address_of(memory))
        return memory

    def target(self, layout: Layout) -> int:
        """Return a memory in this layout to overwrite; it holds the newest values from now on.

        Memories that `source` returned before keep the old values.
        """
        if self._readers or self._deferred is not None:
            self._overwrite()
        buffer = self._plain_buffer() if layout.is_plain else self._packed_buffer(layout)
        memory = buffer.memory(layout)
        if self._observers or self._log.is_on:
            self._note_change()
            if self._log.is_on:
                self._log.hand_out(self, buffer.address)
        self._ready.clear()
        self._ready[layout] = memory
        self._is_plain_ready = layout.is_plain
        self._newest = layout
        self.is_zero = False
        self.version += 1
        return memory

    def write_back(self) -> None:
        """Write a kernel's output back to the plain buffer, if the tensor is pinned."""
        if self.is_pinned and not self._newest.is_plain:
            plain = Layout.plain(self._newest.shape)
            self._reorder_newest_to(self._plain_buffer(), plain)
            self._plain_is_newest()

    def copy_from(self, other: OneDnnTensor) -> None:
        """Overwrite the values with those of a tensor of the same shape, in its layout."""
        layout = other._newest
        source = other.source(layout)
        self._reorders(layout, source, layout, self.target(layout))
        self.write_back()

    def copy_submemory(
        self, whole: OneDnnTensor, layout: Layout, part: Layout, target: Layout
    ) -> None:
        """Overwrite the values, in layout `target`, with a submemory of another tensor.

        `layout` is that of the whole; `part` comes from its `submemory`.
        """
        whole._add_up().source(layout)
        buffer = whole._plain_buffer() if layout.is_plain else whole._packed[layout]
        self._reorders(part, buffer.memory(part), target, self.target(target))
        self.write_back()

    def write_submemory(self, layout: Layout, part: Layout, values: OneDnnTensor) -> None:
        """Overwrite a submemory of `layout`, which must be the current target."""
        plain = Layout.plain(values.shape)
        buffer = self._plain_buffer() if layout.is_plain else self._packed[layout]
        self._reorders(plain, values.source(plain), part, buffer.memory(part))

    def move_from(self, other: OneDnnTensor, layout: Layout) -> None:
        """Overwrite the values with those of a tensor whose values are no longer needed.

        Exchanges the buffers; copies if others use one of them, or if the layout is plain.
        """
        if self._log.is_on:
            self._log.use_on_host(self)
        other._note_change()
        self._overwrite()
        memory = other.source(layout)
        are_used = any(t.is_pinned or t.shares_memory or t.is_in_sum for t in (self, other))
        if layout.is_plain or are_used:
            self._reorders(layout, memory, layout, self.target(layout))
            return
        own = self._packed_buffer(layout)
        self._packed[layout], other._packed[layout] = other._packed[layout], own
        other._ready.clear()
        self.target(layout)

    def add(self, other: OneDnnTensor) -> None:
        """Add the values of another tensor of the same size, in the layout of this one."""
        self._settle()
        layout, source = self.flat_layout, other.flat_layout
        if source.shape != layout.shape:
            source = Layout.plain(layout.shape)
        memory = self.source(layout)
        self._reorders(source, other.source(source), layout, memory, adds=True)
        self.target(layout)

    def values(self, layout: Layout) -> Array:
        """Return the newest values in a float32 layout as a flat array, padding included."""
        if self._log.is_on:
            self._log.use_on_host(self)
        if self._original is not None:
            return self._original.values(layout)
        self.source(layout)
        return self._values_in(layout)

    def values_to_write(self, layout: Layout) -> Array:
        """Return a flat array in this layout to overwrite; it is newest from now on."""
        if self._log.is_on:
            self._log.use_on_host(self)
        self.target(layout)
        return self._values_in(layout)

    def values_to_update(self, layout: Layout) -> Array:
        """Return the values in this layout as a flat array to change; it is newest from now on."""
        self._settle()
        self.source(layout)
        return self.values_to_write(layout)

    def steps(self, layout: Layout) -> list[int]:
        """Return a memory for each index of the first axis, of values that stay in C order."""
        if self._log.is_on:
            self._log.use_on_host(self)
        buffer = self._plain_buffer()
        return [buffer.memory(layout, t * layout.size_bytes) for t in range(self._shape[0])]

    def address(self) -> int:
        """Return the address of the values in C order, to read them."""
        if not self._is_plain_ready or self.is_pinned:
            self._gather()
        return self._address_of_plain()

    def address_to_update(self, layout: Layout | None = None) -> int:
        """Return the address of the values, in C order or in another layout, to change them."""
        if layout is None or layout.is_plain:
            self.update()
            return self._plain_buffer().address
        self.values_to_update(layout)
        return self._packed[layout].address

    def address_to_write(self) -> int:
        """Return the address for values in C order, to overwrite all of them."""
        self._overwrite()
        self._plain_is_newest()
        return self._address_of_plain()

    # Implementation.

    def _address_of_plain(self) -> int:
        address = self._plain_buffer().address
        if self._log.is_on:
            self._log.hand_out(self, address)
        return address

    def _pin(self) -> None:
        if not self.is_pinned:
            self._settle()
            self._gather()
            self._plain_is_newest()
            self.is_pinned = True

    def _gather(self) -> None:
        """Update the plain buffer to the newest values."""
        if self._observers or self._log.is_on:
            self._note_change()
        self._add_up()
        if self.is_zero:
            self._use_on_host()
            self._view_of_plain().fill(0)
            self._plain_is_newest()
        elif not self._newest.is_plain:
            self._reorder_newest_to(self._plain_buffer(), Layout.plain(self._newest.shape))
        self._is_plain_ready = True

    def _make_ready(self, layout: Layout) -> int:
        if self._deferred is not None:
            return (self._original or self._add_up()).source(layout)
        if self._observers or self._log.is_on:
            self._note_change()
        if layout.is_plain:
            self._gather()
            memory = self._plain_buffer().memory(layout)
        else:
            buffer = self._packed_buffer(layout)
            memory = buffer.memory(layout)
            if self.is_zero:
                self._use_on_host()
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
