"""Broadcast products and sums."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Shape, Tensor
from minicaffe.ops.bias import Bias
from minicaffe.ops.scale import Scale


class _Broadcast:
    """Broadcasting of an array of shape `inner` along consecutive axes of shape `outer`."""

    def __init__(self, outer: Shape, inner: Shape, axis: int) -> None:
        end = axis + len(inner)
        self.shape = (1,) * axis + inner + (1,) * (len(outer) - end)
        self.others = (*range(axis), *range(end, len(outer)))

    def spread(self, inner: Array) -> Array:
        """Return `inner` reshaped so that it broadcasts to the outer shape."""
        return inner.reshape(self.shape)

    def gather(self, outer: Array) -> Array:
        """Return the sum of `outer` in the inner shape."""
        return outer.sum(self.others)


@kernel(Scale)
class ReferenceScale(ReferenceKernel[Scale]):
    """Broadcast product and sum."""

    def __init__(self, backend: ReferenceBackend, op: Scale, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, s, y = tensors[:3]
        self._broadcast = _Broadcast(x.shape, s.shape, op.axis)
        self._saved: Array = self.xp.empty(x.shape, backend.dtype) if x is y else None

    def forward(self, x: Tensor, s: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""
        if self._saved is not None:
            self._saved[...] = x.read()
        out = y.write()
        self.xp.multiply(x.read(), self._broadcast.spread(s.read()), out=out)
        if b is not None:
            out += self._broadcast.spread(b.read())

    def backward_weights(self, x: Tensor, dy: Tensor, ds: Tensor | None, db: Tensor | None) -> None:
        """Add to ds and db."""
        if ds is not None:
            values = x.read() if self._saved is None else self._saved
            ds.update()[...] += self._broadcast.gather(dy.read() * values)
        if db is not None:
            db.update()[...] += self._broadcast.gather(dy.read())

    def backward_data(self, dy: Tensor, s: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        self.xp.multiply(dy.read(), self._broadcast.spread(s.read()), out=dx.write())


@kernel(Bias)
class ReferenceBias(ReferenceKernel[Bias]):
    """Broadcast sum."""

    def __init__(self, backend: ReferenceBackend, op: Bias, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._broadcast = _Broadcast(tensors[0].shape, tensors[1].shape, op.axis)

    def forward(self, x: Tensor, b: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        self.xp.add(x.read(), self._broadcast.spread(b.read()), out=y.write())

    def backward_weights(self, dy: Tensor, db: Tensor) -> None:
        """Add to db."""
        db.update()[...] += self._broadcast.gather(dy.read())
