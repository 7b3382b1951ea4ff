"""Tensors that know the name of the value in the graph that they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minicaffe.backends.reference.tensor import ArrayTensor, CompletedFuture
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Array, HostArray, Shape


class Value:
    """What the memory of a tensor and its views holds.

    Attributes
    ----------
    name : str
        The value in the graph; "" if the host's memory holds the values.
    forms : dict of tuple to str
        The names by shape, as far as the value was needed in other shapes.
    constant : str
        The name of a parameter, for the initializer; "" if it is none.
    is_given : bool
        Whether values were set from outside.
    """

    def __init__(self) -> None:
        self.name = self.constant = ""
        self.is_given = False
        self.forms: dict[Shape, str] = {}

    def set(self, name: str, shape: Shape) -> None:
        """Hold a value of the graph from now on; "" for the host's values."""
        self.name, self.forms = name, {shape: name} if name else {}


class TraceTensor(ArrayTensor):
    """An array of the host, or in its place a value of the graph.

    A read-only array that is set is used itself, so that nets can share parameters; it is copied
    before it is changed.
    """

    def __init__(self, shape: Shape, dtype: np.dtype[Any], source: TraceTensor | None = None):
        super().__init__(np, shape, dtype, None if source is None else source._storage)
        self.value: Value = Value() if source is None else source.value

    def read(self) -> Array:
        """Return the host's values.

        Raises
        ------
        Unsupported
            If they are known only when the exported graph runs.
        """
        if self.value.name:
            raise Unsupported("it needs values on the host that depend on the input of the net")
        return super().read()

    def update(self) -> Array:
        """Return the host's values, to be changed."""
        array = self.read()
        if not array.flags.writeable:
            self._storage.flat = self._storage.flat.copy()
        return self.read()

    def write(self) -> Array:
        """Return the host's array, to be overwritten."""
        self.value.set("", self.shape)
        storage = self._storage
        if not storage.flat.flags.writeable:
            storage.flat = np.empty_like(storage.flat)
        return super().read()

    def freeze(self) -> npt.NDArray[np.float32]:
        """Return the host's values as an array that nobody changes any more."""
        array: npt.NDArray[np.float32] = self.read()
        self._storage.flat.flags.writeable = array.flags.writeable = False
        return array

    def host(self) -> HostArray:
        """Return the host's array."""
        array: HostArray = self.read()
        return array

    def get(self) -> HostArray:
        """Return a copy of the host's values."""
        return self.host().copy()

    def get_async(self) -> CompletedFuture:
        """Return a future of the host's values."""
        return CompletedFuture(self.get())

    def set(self, values: npt.ArrayLike) -> None:
        """Overwrite the host's values; a read-only array of the same type and shape is kept."""
        array = np.asarray(values)
        is_kept = not array.flags.writeable and array.dtype == self._storage.dtype
        if is_kept and array.shape == self.shape:
            self.value.set("", self.shape)
            self._storage.flat = array.reshape(-1)
        else:
            self.write()[...] = array
        self.value.is_given = True

    def clear(self) -> None:
        """Overwrite the host's values with zero."""
        self.write().fill(0)

    def view(self, shape: Shape) -> TraceTensor:
        """Return a tensor of another shape over the same value."""
        return TraceTensor(shape, self._storage.dtype, self)
