"""Chunks of images of packed tensors as plain arrays, for kernels that compute with NumPy.

Plain copies of whole tensors would double their memory.
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


class _ChunkedLayout(NamedTuple):
    """A layout and, if it is packed, the submemory of each chunk."""

    layout: Layout
    parts: list[Layout]


class ImageChunks:
    """Divides tensors of one shape along their first axis.

    Parameters
    ----------
    backend : OneDnnBackend
    shape : tuple of int
    size : int
        The number of images in a chunk.
    """

    def __init__(self, backend: OneDnnBackend, shape: Shape, size: int) -> None:
        self._reorders, self._shape = backend.reorders, shape
        self._spans = [(i, min(i + size, shape[0])) for i in range(0, shape[0], size)]
        self._divided = cache_method(self._divide)
        self._copy = cache_method(self._new_copy)

    def __call__(
        self, inputs: Sequence[OneDnnTensor], result: OneDnnTensor
    ) -> Iterator[tuple[list[Array], Array]]:
        """Yield the arrays to read and the one to overwrite of each chunk.

        `result` gets the layout of the first input.
        """
        # A tensor that is overwritten is read in the layout that it gets.
        layouts = [inputs[0].layout if tensor is result else tensor.layout for tensor in inputs]
        sources = [self._divided(layout) for layout in layouts]
        for tensor, source in zip(inputs, sources, strict=True):
            tensor.source(source.layout)
        target = sources[0]
        result.target(target.layout)
        for i, (start, end) in enumerate(self._spans):
            arrays = [
                tensor.read()[start:end]
                if source.layout.is_plain
                else self._unpacked(k, tensor, source, i)
                for k, (tensor, source) in enumerate(zip(inputs, sources, strict=True))
            ]
            if target.layout.is_plain:
                yield arrays, result.write()[start:end]
            else:
                copy = self._copy(len(inputs), end - start)
                yield arrays, copy.write()
                result.write_submemory(target.layout, target.parts[i], copy)
        result.write_back()

    def _unpacked(self, k: int, tensor: OneDnnTensor, source: _ChunkedLayout, i: int) -> Array:
        start, end = self._spans[i]
        copy = self._copy(k, end - start)
        copy.copy_submemory(tensor, source.layout, source.parts[i], Layout.plain(copy.shape))
        return copy.read()

    def _new_copy(self, k: int, n: int) -> OneDnnTensor:
        """Return memory for n images of the k-th tensor."""
        return OneDnnTensor(self._reorders, (n, *self._shape[1:]))

    def _divide(self, layout: Layout) -> _ChunkedLayout:
        """Return the layout with its parts, or the plain one if it cannot be divided."""
        if layout.shape == self._shape and not layout.is_plain:
            inner = (0,) * (len(self._shape) - 1)
            try:
                parts = [
                    layout.submemory((end - start, *self._shape[1:]), (start, *inner))
                    for start, end in self._spans
                ]
            except Unsupported:
                pass  # its blocks contain several images
            else:
                return _ChunkedLayout(layout, parts)
        return _ChunkedLayout(Layout.plain(self._shape), [])
