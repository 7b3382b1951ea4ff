"""Tensors stored as plain arrays of NumPy or CuPy."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from minicaffe.ops.backend import Array, HostArray, Shape


class _Memory:
    """A flat array that is replaced by a larger one when it must grow."""

    def __init__(self, flat: Array) -> None:
        self.flat = flat


class _Storage:
    """The memory of a tensor and its views of other shapes."""

    def __init__(self, xp: ModuleType, size: int, dtype: np.dtype[Any]) -> None:
        self.xp, self.dtype = xp, dtype
        self.memory = _Memory(xp.zeros(size, dtype))

    def grow(self, size: int) -> None:
        if size > self.memory.flat.size:
            self.memory.flat = self.xp.zeros(size, self.dtype)

    def move_to(self, memory: _Memory) -> None:
        size, self.memory = self.memory.flat.size, memory
        self.grow(size)


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
        self._flat = self._storage.memory.flat
        self._array = self._flat[: math.prod(self._shape)].reshape(self._shape)

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return self._shape

    def read(self) -> Array:
        """Return the array."""
        # The storage may have grown through another tensor since.
        if self._storage.memory.flat is not self._flat:
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
        if shape == self._shape and self._storage.memory.flat is self._flat:
            return
        self._storage.grow(math.prod(shape))
        self._shape = shape
        self._bind()

    def view(self, shape: Shape) -> ArrayTensor:
        """Return a tensor of another shape over the same storage."""
        return ArrayTensor(self._storage.xp, shape, self._storage.dtype, self._storage)

    def share_memory_with(self, other: ArrayTensor) -> None:
        """Share the memory of `other` from now on, views included; values of both are lost."""
        self._storage.move_to(other._storage.memory)

    def __repr__(self) -> str:
        return f"ArrayTensor{self._shape}"
