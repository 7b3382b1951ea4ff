"""Some images of packed tensors at a time as plain arrays, for kernels that NumPy computes.

Plain copies of whole tensors would double the memory that these take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Array, Shape

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend


class _Side(NamedTuple):
    """A layout, and its pieces if it is packed."""

    layout: Layout
    places: list[Layout]


class Pieces:
    """Cuts tensors of one shape along their first axis.

    Parameters
    ----------
    backend : OneDnnBackend
    shape : tuple of int
    size : int
        How many images there are at a time.
    """

    def __init__(self, backend: OneDnnBackend, shape: Shape, size: int) -> None:
        self._reorders, self._shape = backend.reorders, shape
        self._spans = [(i, min(i + size, shape[0])) for i in range(0, shape[0], size)]
        self._side = cache_method(self._cut)
        self._copy = cache_method(self._make_copy)

    def __call__(
        self, given: Sequence[OneDnnTensor], result: OneDnnTensor
    ) -> Iterator[tuple[list[Array], Array]]:
        """Yield arrays to read and one to overwrite; `result` gets the layout of the first."""
        sides = [self._side(tensor.layout) for tensor in given]
        for tensor, side in zip(given, sides, strict=True):
            tensor.source(side.layout)
        out = sides[0]
        result.target(out.layout)
        for i, (start, end) in enumerate(self._spans):
            arrays = [
                tensor.read()[start:end]
                if side.layout.is_plain
                else self._unpacked(k, tensor, side, i)
                for k, (tensor, side) in enumerate(zip(given, sides, strict=True))
            ]
            if out.layout.is_plain:
                yield arrays, result.write()[start:end]
            else:
                copy = self._copy(len(given), end - start)
                yield arrays, copy.write()
                result.paste(out.layout, out.places[i], copy)
        if result.is_pinned:
            result.settle()

    def _unpacked(self, k: int, tensor: OneDnnTensor, side: _Side, i: int) -> Array:
        start, end = self._spans[i]
        copy = self._copy(k, end - start)
        copy.copy_place(tensor, side.layout, side.places[i], Layout.plain(copy.shape))
        return copy.read()

    def _make_copy(self, k: int, n: int) -> OneDnnTensor:
        """Return memory for n images of the k-th tensor."""
        return OneDnnTensor(self._reorders, (n, *self._shape[1:]))

    def _cut(self, layout: Layout) -> _Side:
        """Return the layout and its pieces, or the plain one if this cannot be cut."""
        if layout.shape == self._shape and not layout.is_plain:
            behind = (0,) * (len(self._shape) - 1)
            try:
                places = [
                    layout.place((end - start, *self._shape[1:]), (start, *behind))
                    for start, end in self._spans
                ]
            except Unsupported:
                pass  # it packs several images together
            else:
                return _Side(layout, places)
        return _Side(Layout.plain(self._shape), [])
