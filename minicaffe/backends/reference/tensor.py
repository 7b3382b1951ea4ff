"""Tensors stored as plain arrays of NumPy or CuPy."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from minicaffe.ops.backend import Array, HostArray, Shape


class _Storage:
    """The memory of a tensor and its views of other shapes: a part of a flat array."""

    def __init__(self, xp: ModuleType, size: int, dtype: np.dtype[Any]) -> None:
        self.xp, self.dtype = xp, dtype
        self.place(xp.zeros(size, dtype), 0, size)

    def place(self, flat: Array, start: int, size: int) -> None:
        """Use this part from now on."""
        self.flat, self.start, self._size = flat, start, size

    def grow(self, size: int) -> None:
        """Move to an array of this size, if the part is smaller; the values are lost then."""
        if size > self._size:
            self.place(self.xp.zeros(size, self.dtype), 0, size)


class CompletedFuture:
    """A future whose values are in host memory already."""

    is_done = True

    def __init__(self, values: HostArray) -> None:
        self._values = values

    def result(self) -> HostArray:
        """Return the values."""
        return self._values


class ArrayTensor:
    """A C-ordered array of ``xp`` over the beginning of a storage."""

    def __init__(
        self,
        xp: ModuleType,
        shape: Shape,
        dtype: np.dtype[Any],
        storage: _Storage | None = None,
    ) -> None:
        self._shape = shape
        self._storage = storage or _Storage(xp, math.prod(shape), dtype)
        self._bind()

    def _bind(self) -> None:
        start = self._storage.start
        self._flat = self._storage.flat
        self._array = self._flat[start : start + math.prod(self._shape)].reshape(self._shape)

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return self._shape

    def read(self) -> Array:
        """Return the array."""
        # The storage may have moved since.
        if self._storage.flat is not self._flat:
            self._bind()
        return self._array

    write = read
    update = read

    def get(self) -> HostArray:
        """Return a copy."""
        array: HostArray = self.read().copy()
        return array

    def get_async(self) -> CompletedFuture:
        """Return a future whose copy is complete."""
        return CompletedFuture(self.get())

    def set(self, values: npt.ArrayLike) -> None:
        """Overwrite the values."""
        self.read()[...] = values

    def clear(self) -> None:
        """Overwrite the values with zero."""
        self.read().fill(0)

    def host(self) -> HostArray:
        """Return the array itself: host memory holds the only copy."""
        array: HostArray = self.read()
        return array

    def reshape(self, shape: Shape) -> None:
        """Change the shape; the storage grows if necessary and never shrinks."""
        if shape == self._shape and self._storage.flat is self._flat:
            return
        self._storage.grow(math.prod(shape))
        self._shape = shape
        self._bind()

    def view(self, shape: Shape) -> ArrayTensor:
        """Return a tensor of another shape over the same storage."""
        return ArrayTensor(self._storage.xp, shape, self._storage.dtype, self._storage)

    def lie_in(self, flat: Array, start: int) -> None:
        """Lie in an array from this index on, views included; the values are lost."""
        self._storage.place(flat, start, math.prod(self._shape))

    def __repr__(self) -> str:
        return f"ArrayTensor{self._shape}"
