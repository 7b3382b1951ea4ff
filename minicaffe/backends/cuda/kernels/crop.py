"""Crop in the format of the input."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.crop import Crop

# As in kernels/crop.cu.
AXES = 5


@kernel(Crop)
class CudaCrop(CudaKernel[Crop]):
    """Crop; backward pads with zeros."""

    file = "crop"

    def __init__(self, backend: CudaBackend, op: Crop, x: CudaTensor, y: CudaTensor) -> None:
        super().__init__(backend, op)
        sides = list(zip(x.shape, y.shape, op.offset, strict=True))
        n_cut = sum(whole != part for whole, part, _ in sides)
        # Axes that are not cropped may form an additional axis before all others.
        if n_cut >= AXES:
            raise Unsupported(f"no GPU kernel cuts {n_cut} axes of a blob at once")
        self._sides = sides

    def forward(self, x: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        wholes, parts, offsets = self._axes(x.format)
        self._cut(x, y, wholes, offsets, parts)

    def backward(self, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx: a crop with negated offsets."""
        wholes, parts, offsets = self._axes(dy.format)
        self._cut(dy, dx, parts, [-offset for offset in offsets], wholes)

    def _cut(
        self,
        x: CudaTensor,
        y: CudaTensor,
        sizes: Sequence[int],
        offsets: Sequence[int],
        to: Sequence[int],
    ) -> None:
        form = x.format
        given, target = x.source(form), y.target(form)
        divisors = itertools.chain.from_iterable(divisor(size) for size in to[1:])
        self.launch(
            "cut", y.size, given, target, y.size, *sizes, *offsets, *divisors, value=form.value
        )

    def _axes(self, form: Format) -> Iterator[Sequence[int]]:
        """Return, for all axes, the sizes of the whole, the sizes of the block and its offsets.

        The axes are in memory order; an axis that is not cropped is merged into the one before.
        """
        sides = list(self._sides)
        if form.channels_last:
            sides.append(sides.pop(1))
        merged = [(1, 1, 0)]
        for side in sides:
            if side[0] == side[1]:
                whole, part, offset = merged.pop()
                merged.append((whole * side[0], part * side[0], offset * side[0]))
            else:
                merged.append(side)
        return zip(*[(1, 1, 0)] * (AXES - len(merged)), *merged, strict=True)
