"""Tensors that are plain arrays."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from minicaffe.ops.backend import Array, HostArray, Shape


class _Storage:
    """Memory that tensors of different shapes may share."""

    def __init__(self, xp: ModuleType, size: int, dtype: np.dtype[Any]) -> None:
        self.xp, self.dtype = xp, dtype
        self.flat = xp.zeros(size, dtype)

    def grow(self, size: int) -> None:
        if size > self.flat.size:
            self.flat = self.xp.zeros(size, self.dtype)


class Fetched:
    """Values that are in host memory already."""

    is_ready = True

    def __init__(self, values: HostArray) -> None:
        self._values = values

    def __call__(self) -> HostArray:
        """Return the values."""
        return self._values


class ArrayTensor:
    """A C-ordered array of ``xp``, the whole or the beginning of a storage."""

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
        self._flat = self._storage.flat
        self._array = self._flat[: math.prod(self._shape)].reshape(self._shape)

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return self._shape

    def read(self) -> Array:
        """Return the array."""
        # Another tensor over the same storage may have made it grow.
        if self._storage.flat is not self._flat:
            self._bind()
        return self._array

    write = read
    update = read

    def get(self) -> HostArray:
        """Return a copy."""
        array: HostArray = self.read().copy()
        return array

    def later(self) -> Fetched:
        """Return a copy, made at once."""
        return Fetched(self.get())

    def set(self, values: npt.ArrayLike) -> None:
        """Overwrite the values."""
        self.read()[...] = values

    def clear(self) -> None:
        """Overwrite the values with zero."""
        self.read().fill(0)

    def host(self) -> HostArray:
        """Return the array itself: there is no other copy."""
        array: HostArray = self.read()
        return array

    def reshape(self, shape: Shape) -> None:
        """Change the shape; the storage grows when it must and never shrinks."""
        if shape == self._shape and self._storage.flat is self._flat:
            return
        self._storage.grow(math.prod(shape))
        self._shape = shape
        self._bind()

    def view(self, shape: Shape) -> ArrayTensor:
        """Return a tensor of another shape over the same storage."""
        return ArrayTensor(self._storage.xp, shape, self._storage.dtype, self._storage)

    def __repr__(self) -> str:
        return f"ArrayTensor{self._shape}"
