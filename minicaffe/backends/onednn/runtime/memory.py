"""Memory layouts (oneDNN's memory descriptors) and aligned buffers."""

from __future__ import annotations

import ctypes
import functools
import math
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from minicaffe.backends.onednn.runtime import library as _lib
from minicaffe.backends.onednn.runtime.library import DataType, check_onednn
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Shape

ALIGNMENT_BYTES = 64
# Size from which kernels in C write a tensor past the caches, if they did not read its memory.
STREAMED_BYTES = 1 << 22
# Bounds the layout cache, because a net whose image sizes vary needs new layouts all the time.
MAX_KNOWN_SHAPES = 4096
# In every version 3 the format tags of activations are below this.
MAX_TAG = 256


class Layout:
    """Physical layout and data type of a tensor; equal layouts are one object.

    Attributes
    ----------
    handle : int
        The dnnl_memory_desc_t; the layout owns it.
    shape : tuple of int
        The logical shape. It may divide a tensor's axes differently (filters by group), but the
        values have the same C order.
    size_bytes : int
        Required buffer size, padding included.
    is_plain : bool
        Whether the values are float32 in C order without gaps.
    """

    _known: dict[Shape, list[Layout]] = {}

    def __init__(self, handle: int, shape: Shape, is_plain: bool) -> None:
        self.handle, self.shape, self.is_plain = handle, shape, is_plain
        self._lib = _lib.library()
        self.size_bytes = int(self._lib.c.dnnl_memory_desc_get_size(handle))

    @classmethod
    def plain(cls, shape: Shape) -> Layout:
        """Return the C-ordered float32 layout; a scalar is a vector of one value."""
        shape = shape or (1,)
        known = cls._known.get(shape)
        if known is None:
            if len(cls._known) >= MAX_KNOWN_SHAPES:
                # Costs a reorder where an old and a new object for one layout meet; never wrong.
                cls._known.clear()
            known = cls._known[shape] = [cls(_strided(shape, c_strides(shape)), shape, True)]
        return known[0]

    @classmethod
    def of(cls, handle: int, shape: Shape) -> Layout:
        """Return the layout of a memory descriptor; clones the descriptor if it is new."""
        same = _lib.library().c.dnnl_memory_desc_equal
        known = (cls.plain(shape), *cls._known[shape])
        for layout in known:
            if same(layout.handle, handle):
                return layout
        layout = cls(_lib.library().make("dnnl_memory_desc_clone", handle), shape, False)
        cls._known[shape].append(layout)
        return layout

    @classmethod
    def strided(cls, shape: Shape, strides: Shape) -> Layout:
        """Return a new layout with these strides, in values; it is not cached."""
        return cls(_strided(shape, strides), shape, is_plain=False)

    @classmethod
    def channels_last(cls, shape: Shape) -> Layout:
        """Return a new layout (N, H, W, C) of images (N, C, H, W); it is not cached."""
        images, rows, columns, channels = c_strides((shape[0], *shape[2:], shape[1]))
        return cls.strided(shape, (images, channels, rows, columns))

    def offset(self, at: Shape) -> int:
        """Return the offset, in values, of the value at an index, which must begin a block."""
        part = self.submemory(tuple(n - i for n, i in zip(self.shape, at, strict=True)), at)
        values = ctypes.c_int64()
        query = self._lib.c.dnnl_memory_desc_query
        check_onednn(query(part.handle, _lib.SUBMEMORY_OFFSET, ctypes.byref(values)), "offset")
        return values.value

    def submemory(self, shape: Shape, offsets: Shape) -> Layout:
        """Return the layout of a submemory: a part of this shape, at these offsets.

        Raises
        ------
        Unsupported
            If the part does not begin and end at a block boundary.
        """
        function = "dnnl_memory_desc_create_submemory"
        handle = self._lib.make(function, self.handle, dims(shape), dims(offsets))
        return Layout(handle, shape, is_plain=False)

    @functools.cached_property
    def data_type(self) -> DataType:
        """Data type of the values."""
        number = ctypes.c_int()
        query = self._lib.c.dnnl_memory_desc_query
        check_onednn(query(self.handle, _lib.DATA_TYPE, ctypes.byref(number)), "query")
        return DataType(number.value)

    @functools.cached_property
    def widened(self) -> Layout:
        """The layout of float32 values in the same order, the plain one if there is none.

        The library cannot change a descriptor's data type, but creates one of any type from a
        format tag; the tag of this order is found by trying all of them.
        """
        if self.data_type is DataType.F32:
            return self
        same = self._lib.c.dnnl_memory_desc_equal
        for tag in range(_lib.TAG_ANY + 1, MAX_TAG):
            try:
                named = TaggedLayout(self.shape, tag, self.data_type)
            except Unsupported:  # a tag for another number of axes
                continue
            if same(named.handle, self.handle):
                wide = TaggedLayout(self.shape, tag)
                return Layout.of(wide.handle, self.shape)
        return Layout.plain(self.shape)

    def __del__(self) -> None:
        self._lib.c.dnnl_memory_desc_destroy(self.handle)

    def __repr__(self) -> str:
        return f"Layout({self.shape}, {'plain' if self.is_plain else hex(self.handle)})"


class TaggedLayout:
    """A memory descriptor created from a format tag (dnnl_format_tag_t).

    Raises
    ------
    Unsupported
        If the tag is for another number of axes.
    """

    def __init__(self, shape: Shape, tag: int, data_type: DataType = DataType.F32) -> None:
        self.shape, self._lib = shape, _lib.library()
        arguments = (len(shape), dims(shape), data_type, tag)
        self.handle = self._lib.make("dnnl_memory_desc_create_with_tag", *arguments)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._lib.c.dnnl_memory_desc_destroy(self.handle)


class AnyLayout(TaggedLayout):
    """format_tag::any: the library chooses the layout for this shape."""

    def __init__(self, shape: Shape, data_type: DataType = DataType.F32) -> None:
        super().__init__(shape, _lib.TAG_ANY, data_type)


class Buffer:
    """Aligned, zero-initialised host memory, and oneDNN memory objects over it.

    Attributes
    ----------
    values : float32 array (n,)
        The whole memory, padding included; meaningless for layouts of another data type.
    address : int
    moves : int
        How often any buffer has got another address.
    """

    moves: ClassVar[int] = 0

    def __init__(self, size_bytes: int, engine: int) -> None:
        self._engine, self._lib = engine, _lib.library()
        self._memories: dict[tuple[Layout, int], int] = {}
        self._allocate(size_bytes)

    def _allocate(self, size_bytes: int) -> None:
        raw = np.zeros(size_bytes + ALIGNMENT_BYTES, np.uint8)
        self._use(raw, -raw.ctypes.data % ALIGNMENT_BYTES, size_bytes)

    def _use(self, raw: npt.NDArray[np.uint8], offset: int, size_bytes: int) -> None:
        whole = raw[offset : offset + size_bytes // 4 * 4]
        self.values: npt.NDArray[np.float32] = whole.view(np.float32)
        self.address = raw.ctypes.data + offset
        self.size_bytes = size_bytes
        self._raw = raw

    def part(self, offset_bytes: int, size_bytes: int) -> Buffer:
        """Return a buffer over a part of this memory, at an aligned offset."""
        part = Buffer(0, self._engine)
        start = self.address - self._raw.ctypes.data + offset_bytes
        part._use(self._raw[start : start + size_bytes], 0, size_bytes)
        return part

    def reserve(self, size_bytes: int) -> None:
        """Grow to this size if the buffer is smaller; its contents are lost then."""
        if size_bytes <= self.size_bytes:
            return
        Buffer.moves += 1
        self._allocate(size_bytes)
        for (_, offset_bytes), memory in self._memories.items():
            self._lib.c.dnnl_memory_set_data_handle(memory, self.address + offset_bytes)

    def clear(self) -> None:
        """Overwrite the memory with zero bytes, which are zeros of every type."""
        self._raw.fill(0)

    def memory(self, layout: Layout, offset_bytes: int = 0) -> int:
        """Return the dnnl_memory_t of this layout at this offset in the buffer; it is cached."""
        memory = self._memories.get((layout, offset_bytes))
        if memory is None:
            address = self.address + offset_bytes
            memory = self._memories[layout, offset_bytes] = self._lib.make(
                "dnnl_memory_create", layout.handle, self._engine, address
            )
        return memory

    def __del__(self) -> None:
        for memory in self._memories.values():
            self._lib.c.dnnl_memory_destroy(memory)


class ScratchBuffer:
    """Memory for the steps of one kernel at a time; it grows and never shrinks."""

    def __init__(self, engine: int) -> None:
        self._engine = engine
        self._buffer = Buffer(0, engine)

    def __call__(self, size_bytes: int) -> Buffer:
        """Return a buffer of at least this size; its contents are undefined."""
        if self._buffer.size_bytes < size_bytes:
            self._buffer = Buffer(size_bytes, self._engine)
        return self._buffer


class MemoryCursor:
    """A dnnl_memory_t of a fixed layout over borrowed memory, at an address that can be changed."""

    def __init__(self, engine: int, layout: Layout, address: int = 0) -> None:
        self._lib, self.layout = _lib.library(), layout
        self.handle = self._lib.make("dnnl_memory_create", layout.handle, engine, address)

    def move(self, address: int) -> None:
        """Set the address of the first value."""
        self._lib.c.dnnl_memory_set_data_handle(self.handle, address)

    def __del__(self) -> None:
        self._lib.c.dnnl_memory_destroy(self.handle)


def address_of(memory: int) -> int:
    """Return the address of the first value of a dnnl_memory_t."""
    address = ctypes.c_void_p()
    function = _lib.library().c.dnnl_memory_get_data_handle
    check_onednn(function(memory, ctypes.byref(address)), "address")
    return address.value or 0


def dims(sizes: Shape) -> ctypes.Array[ctypes.c_int64]:
    """Return sizes as dnnl_dims_t."""
    return _lib.Dims(*sizes)


def c_strides(shape: Shape) -> Shape:
    """Return the strides of a C-ordered array, in values."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def _strided(shape: Shape, strides: Shape) -> int:
    return _lib.library().make(
        *("dnnl_memory_desc_create_with_strides", len(shape), dims(shape), DataType.F32),
        dims(strides),
    )
