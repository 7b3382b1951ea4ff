"""Layouts (oneDNN's memory descriptors) and the buffers that values lie in."""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minicaffe.backends.onednn.runtime import library as _lib
from minicaffe.backends.onednn.runtime.library import DataType, check
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Shape

ALIGNMENT_BYTES = 64
# A net that sees images of ever new sizes must not remember them all.
MAX_KNOWN_SHAPES = 4096
# All format tags that activations may have lie below, in every version 3.
MAX_TAG = 256


class Layout:
    """How values of some shape lie in memory, and of what type; equal layouts are one object.

    Attributes
    ----------
    handle : int
        The dnnl_memory_desc_t; the layout owns it.
    shape : tuple of int
        The logical shape. It may cut a tensor's axes differently (filters by group), but counts
        through the values in the same order.
    size_bytes : int
        What a buffer needs, padding included.
    is_plain : bool
        Whether these are float32 values in C order without gaps.
    """

    _known: dict[Shape, list[Layout]] = {}

    def __init__(self, handle: int, shape: Shape, is_plain: bool) -> None:
        self.handle, self.shape, self.is_plain = handle, shape, is_plain
        self._lib = _lib.library()
        self.size_bytes = int(self._lib.c.dnnl_memory_desc_get_size(handle))

    @classmethod
    def plain(cls, shape: Shape) -> Layout:
        """Return the C-ordered layout; a single number counts as a vector of one."""
        shape = shape or (1,)
        known = cls._known.get(shape)
        if known is None:
            if len(cls._known) >= MAX_KNOWN_SHAPES:
                # Costs a reorder where old and new objects for one layout meet, and is never wrong.
                cls._known.clear()
            known = cls._known[shape] = [cls(_strided(shape, c_strides(shape)), shape, True)]
        return known[0]

    @classmethod
    def of(cls, handle: int, shape: Shape) -> Layout:
        """Return the layout that a descriptor, which stays its owner's, describes."""
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
        """Return the layout with these steps, in values, along the axes; equal ones are not one."""
        return cls(_strided(shape, strides), shape, is_plain=False)

    @classmethod
    def channels_last(cls, shape: Shape) -> Layout:
        """Return the layout (N, H, W, C) of images (N, C, H, W); equal ones are not one."""
        images, rows, columns, channels = c_strides((shape[0], *shape[2:], shape[1]))
        return cls.strided(shape, (images, channels, rows, columns))

    def offset(self, at: Shape) -> int:
        """Return how many values lie before the one at an index, which must begin a block."""
        part = self.place(tuple(n - i for n, i in zip(self.shape, at, strict=True)), at)
        values = ctypes.c_int64()
        query = self._lib.c.dnnl_memory_desc_query
        check(query(part.handle, _lib.SUBMEMORY_OFFSET, ctypes.byref(values)), "offset")
        return values.value

    def place(self, shape: Shape, offsets: Shape) -> Layout:
        """Return the layout of a part, of this shape and at these offsets, inside this one.

        Raises
        ------
        Unsupported
            If the part does not begin and end with a block.
        """
        function = "dnnl_memory_desc_create_submemory"
        handle = self._lib.make(function, self.handle, dims(shape), dims(offsets))
        return Layout(handle, shape, is_plain=False)

    @functools.cached_property
    def data_type(self) -> DataType:
        """What the values are."""
        number = ctypes.c_int()
        query = self._lib.c.dnnl_memory_desc_query
        check(query(self.handle, _lib.DATA_TYPE, ctypes.byref(number)), "query")
        return DataType(number.value)

    @functools.cached_property
    def widened(self) -> Layout:
        """The layout of float32 values in the same order, the plain one if there is none.

        The library changes no descriptor's type, but it makes one of each type by the name of an
        order; which name this order has is found out by trying.
        """
        if self.data_type is DataType.F32:
            return self
        same = self._lib.c.dnnl_memory_desc_equal
        for tag in range(_lib.TAG_ANY + 1, MAX_TAG):
            try:
                named = TaggedLayout(self.shape, tag, self.data_type)
            except Unsupported:  # a name for another number of axes
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
    """A descriptor by the name (dnnl_format_tag_t) of an order.

    Raises
    ------
    Unsupported
        If the name is for another number of axes.
    """

    def __init__(self, shape: Shape, tag: int, data_type: DataType = DataType.F32) -> None:
        self.shape, self._lib = shape, _lib.library()
        given = (len(shape), dims(shape), data_type, tag)
        self.handle = self._lib.make("dnnl_memory_desc_create_with_tag", *given)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._lib.c.dnnl_memory_desc_destroy(self.handle)


class AnyLayout(TaggedLayout):
    """A request: the library chooses the layout for this shape."""

    def __init__(self, shape: Shape, data_type: DataType = DataType.F32) -> None:
        super().__init__(shape, _lib.TAG_ANY, data_type)


class Buffer:
    """Aligned memory, filled with zeros, seen through layouts.

    Attributes
    ----------
    values : float32 array (n,)
        All of it, padding included; without meaning where a layout has values of another type.
    address : int
    """

    def __init__(self, size_bytes: int, engine: int) -> None:
        self._engine, self._lib = engine, _lib.library()
        self._memories: dict[tuple[Layout, int], int] = {}
        self._allocate(size_bytes)

    def _allocate(self, size_bytes: int) -> None:
        raw = np.zeros(size_bytes + ALIGNMENT_BYTES, np.uint8)
        offset = -raw.ctypes.data % ALIGNMENT_BYTES
        self.values: npt.NDArray[Any] = raw[offset : offset + size_bytes // 4 * 4].view(np.float32)
        self.address = raw.ctypes.data + offset
        self.size_bytes = size_bytes
        self._raw = raw

    def reserve(self, size_bytes: int) -> None:
        """Grow to this size, if the buffer is smaller; what it held is lost then."""
        if size_bytes <= self.size_bytes:
            return
        self._allocate(size_bytes)
        for (_, offset_bytes), memory in self._memories.items():
            self._lib.c.dnnl_memory_set_data_handle(memory, self.address + offset_bytes)

    def clear(self) -> None:
        """Overwrite everything with zero, which is zero in every type."""
        self._raw.fill(0)

    def memory(self, layout: Layout, offset_bytes: int = 0) -> int:
        """Return the dnnl_memory_t that sees this buffer, from there on, through a layout."""
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


class Cursor:
    """Somebody else's memory, seen through a layout from an address that can be moved."""

    def __init__(self, engine: int, layout: Layout, address: int = 0) -> None:
        self._lib, self.layout = _lib.library(), layout
        self.handle = self._lib.make("dnnl_memory_create", layout.handle, engine, address)

    def move(self, address: int) -> None:
        """See the values from this address on."""
        self._lib.c.dnnl_memory_set_data_handle(self.handle, address)

    def __del__(self) -> None:
        self._lib.c.dnnl_memory_destroy(self.handle)


def address_of(memory: int) -> int:
    """Return where the values of a dnnl_memory_t begin."""
    address = ctypes.c_void_p()
    function = _lib.library().c.dnnl_memory_get_data_handle
    check(function(memory, ctypes.byref(address)), "address")
    return address.value or 0


def dims(sizes: Shape) -> Any:
    """Return sizes as dnnl_dims_t."""
    return _lib.Dims(*sizes)


def c_strides(shape: Shape) -> Shape:
    """Return the steps between neighbours along each axis of a C-ordered array, in values."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def _strided(shape: Shape, strides: Shape) -> int:
    return _lib.library().make(
        *("dnnl_memory_desc_create_with_strides", len(shape), dims(shape), DataType.F32),
        dims(strides),
    )
