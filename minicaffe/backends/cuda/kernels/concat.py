"""Concatenation and slicing along an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.backend import Shape
from minicaffe.ops.concat import Concat, Slice


def row_length(shape: Shape, axis: int, form: Format) -> int:
    """Return the number of contiguous values for one index of the axes stored before `axis`."""
    if not form.channels_last or axis == 0:
        return math.prod(shape[axis:])
    return shape[1] if axis == 1 else math.prod(shape[axis:]) * shape[1]


class _Parts(CudaKernel[Concat | Slice]):
    file = "concat"

    def __init__(self, backend: CudaBackend, op: Concat | Slice, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        self._parts = [tensor.shape for tensor in tensors[1:]]
        self._whole = tensors[0].shape

    def join(self, parts: Sequence[CudaTensor], whole: CudaTensor) -> None:
        """Overwrite `whole`."""
        form = self._common(parts)
        given = [part.source(form) for part in parts]
        to = whole.target(form)
        for i, part in enumerate(given):
            n, *position = self._position(i, form)
            self.launch("concat_part", n, part, to, n, *position, value=form.value)

    def cut(self, whole: CudaTensor, parts: Sequence[CudaTensor | None]) -> None:
        """Overwrite the parts."""
        form = whole.format
        given = whole.source(form)
        for i, part in enumerate(parts):
            if part is not None:
                n, *position = self._position(i, form)
                self.launch(
                    "slice_part", n, given, part.target(form), n, *position, value=form.value
                )

    @staticmethod
    def _common(tensors: Sequence[CudaTensor]) -> Format:
        """Return the first tensor's format, with the channels last if any tensor has that order.

        A tensor with a single channel or pixel is stored the same way in both orders.
        """
        channels_last = any(tensor.format.channels_last for tensor in tensors)
        return Format(channels_last, tensors[0].format.value)

    def _position(self, index: int, form: Format) -> tuple[int, int, int, int]:
        axis, part = self.op.axis, self._parts[index]
        whole = row_length(self._whole, axis, form)
        before = (row_length(shape, axis, form) for shape in self._parts[:index])
        return math.prod(part), row_length(part, axis, form), whole, sum(before)


@kernel(Concat)
class CudaConcat(_Parts):
    """Concatenation; backward slices the gradient."""

    def forward(self, xs: Sequence[CudaTensor], y: CudaTensor) -> None:
        """Overwrite y."""
        self.join(xs, y)

    def backward(self, dy: CudaTensor, dxs: Sequence[CudaTensor | None]) -> None:
        """Overwrite the dxs."""
        self.cut(dy, dxs)


@kernel(Slice)
class CudaSlice(_Parts):
    """Slicing; backward concatenates the gradients."""

    def forward(self, x: CudaTensor, ys: Sequence[CudaTensor]) -> None:
        """Overwrite the ys."""
        self.cut(x, ys)

    def backward(self, dys: Sequence[CudaTensor], dx: CudaTensor) -> None:
        """Overwrite dx."""
        self.join(dys, dx)
