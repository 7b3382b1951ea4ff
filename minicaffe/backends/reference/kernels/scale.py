"""Products and sums with broadcasting."""

from __future__ import annotations

from typing import Any

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Shape, Tensor
from minicaffe.ops.bias import Bias
from minicaffe.ops.scale import Scale


class _LinedUp:
    """Where an array of shape `inner` stands among the axes of one of shape `outer`."""

    def __init__(self, outer: Shape, inner: Shape, axis: int) -> None:
        end = axis + len(inner)
        self.shape = (1,) * axis + inner + (1,) * (len(outer) - end)
        self.others = (*range(axis), *range(end, len(outer)))

    def spread(self, inner: Array) -> Array:
        """Return `inner` so that it broadcasts to the outer shape."""
        return inner.reshape(self.shape)

    def gather(self, outer: Array) -> Array:
        """Return the sum of `outer` in the inner shape."""
        return outer.sum(self.others)


@kernel(Scale)
class ReferenceScale(ReferenceKernel[Scale]):
    """Product and sum."""

    def __init__(self, backend: ReferenceBackend, op: Scale, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, s, y = tensors[:3]
        self._place = _LinedUp(x.shape, s.shape, op.axis)
        self._kept: Any = self.xp.empty(x.shape, backend.dtype) if x is y else None

    def forward(self, x: Tensor, s: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""
        if self._kept is not None:
            self._kept[...] = x.read()
        out = y.write()
        self.xp.multiply(x.read(), self._place.spread(s.read()), out=out)
        if b is not None:
            out += self._place.spread(b.read())

    def backward_weights(self, x: Tensor, dy: Tensor, ds: Tensor | None, db: Tensor | None) -> None:
        """Add to ds and db."""
        if ds is not None:
            values = x.read() if self._kept is None else self._kept
            ds.update()[...] += self._place.gather(dy.read() * values)
        if db is not None:
            db.update()[...] += self._place.gather(dy.read())

    def backward_data(self, dy: Tensor, s: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        self.xp.multiply(dy.read(), self._place.spread(s.read()), out=dx.write())


@kernel(Bias)
class ReferenceBias(ReferenceKernel[Bias]):
    """Sum."""

    def __init__(self, backend: ReferenceBackend, op: Bias, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._place = _LinedUp(tensors[0].shape, tensors[1].shape, op.axis)

    def forward(self, x: Tensor, b: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        self.xp.add(x.read(), self._place.spread(b.read()), out=y.write())

    def backward_weights(self, dy: Tensor, db: Tensor) -> None:
        """Add to db."""
        db.update()[...] += self._place.gather(dy.read())
