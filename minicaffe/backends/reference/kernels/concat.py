"""Concatenation and slicing along an axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Tensor
from minicaffe.ops.concat import Concat, Slice


class _Parts(ReferenceKernel[Concat | Slice]):
    """Base of both: the slices of the whole that the parts are."""

    def __init__(
        self, backend: ReferenceBackend, op: Concat | Slice, whole: Tensor, *parts: Tensor
    ) -> None:
        super().__init__(backend, op, whole, *parts)
        self.sizes = [part.shape[self.op.axis] for part in parts]

    def join(self, parts: Sequence[Tensor], whole: Tensor) -> None:
        out = whole.write()
        for part, place in zip(parts, self._places(), strict=True):
            out[place] = part.read()

    def cut(self, whole: Tensor, parts: Sequence[Tensor | None]) -> None:
        values = whole.read()
        for part, place in zip(parts, self._places(), strict=True):
            if part is not None:
                part.write()[...] = values[place]

    def _places(self) -> Iterator[tuple[slice, ...]]:
        start = 0
        for size in self.sizes:
            yield (*(slice(None),) * self.op.axis, slice(start, start + size))
            start += size


@kernel(Concat)
class ReferenceConcat(_Parts):
    """Concatenate, and slice the gradient."""

    def forward(self, xs: Sequence[Tensor], y: Tensor) -> None:
        """Overwrite y."""
        self.join(xs, y)

    def backward(self, dy: Tensor, dxs: Sequence[Tensor | None]) -> None:
        """Overwrite the dxs."""
        self.cut(dy, dxs)


@kernel(Slice)
class ReferenceSlice(_Parts):
    """Slice, and concatenate the gradients."""

    def forward(self, x: Tensor, ys: Sequence[Tensor]) -> None:
        """Overwrite the ys."""
        self.cut(x, ys)

    def backward(self, dys: Sequence[Tensor], dx: Tensor) -> None:
        """Overwrite dx."""
        self.join(dys, dx)
