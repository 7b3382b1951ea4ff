"""Pooling as a loop over the taps of the window, each a strided view of the whole batch."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.pool import Pool
from minicaffe.random import RandomStream


@kernel(Pool)
class ReferencePool(ReferenceKernel[Pool]):
    """Max, average and stochastic pooling; `chosen` is the tap that each window selected."""

    def __init__(self, backend: ReferenceBackend, op: Pool, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self.image = tensors[0].shape[2:]
        # The canvas contains every window completely: the last one may extend beyond the padding.
        reach = [(o - 1) * s + k for o, s, k in zip(op.out, op.stride, op.kernel, strict=True)]
        sizes = zip(self.image, op.pad, reach, strict=True)
        self.canvas = tuple(max(n + 2 * p, r) for n, p, r in sizes)
        self.inside = tuple(slice(p, p + n) for p, n in zip(op.pad, self.image, strict=True))
        self.tap_type = np.uint8 if math.prod(op.kernel) <= 256 else np.int32
        self.chosen: Array = None
        self.area: Array = self._area() if op.mode == "ave" else None

    def forward(
        self, x: Tensor, y: Tensor, mask: Tensor | None = None, stream: RandomStream | None = None
    ) -> None:
        """Overwrite y and, where given, mask."""
        if self.op.mode == "ave":
            out = y.write()
            self._sum(self._on_canvas(x.read(), 0), out)
            out /= self.area
        elif self.op.mode == "max":
            self._take_largest(self._on_canvas(x.read(), -self.xp.inf), y.write())
            if mask is not None:
                mask.write()[...] = self._plane_index()
        elif self.op.training and stream is not None:
            self._draw(self._on_canvas(x.read(), 0), y.write(), stream)
        else:
            self._weighted_mean(self._on_canvas(x.read(), 0), y.write())

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        xp, out, given = self.xp, dx.write(), dy.read()
        canvas = xp.zeros((*out.shape[:2], *self.canvas), out.dtype)
        share = given / self.area if self.op.mode == "ave" else None
        for tap, window in enumerate(self._windows()):
            canvas[window] += xp.where(self.chosen == tap, given, 0) if share is None else share
        out[...] = canvas[:, :, *self.inside]

    def _windows(self) -> Iterator[tuple[Array, ...]]:
        """Yield, for each tap in row-major order, the canvas positions that it covers."""
        everything = (slice(None), slice(None))
        for tap in np.ndindex(*self.op.kernel):
            axes = zip(tap, self.op.stride, self.op.out, strict=True)
            yield (*everything, *(slice(i, i + (o - 1) * s + 1, s) for i, s, o in axes))

    def _on_canvas(self, x: Array, background: float) -> Array:
        if self.canvas == self.image:
            return x
        canvas = self.xp.full((*x.shape[:2], *self.canvas), background, x.dtype)
        canvas[:, :, *self.inside] = x
        return canvas

    def _take_largest(self, canvas: Array, out: Array) -> None:
        windows = list(self._windows())
        out[...] = canvas[windows[0]]
        for window in windows[1:]:
            self.xp.maximum(out, canvas[window], out=out)
        # Counted from the last tap to the first: 0 where a tap holds the maximum, else one more
        # than for the taps after it. This is several times faster than masked copies.
        self.chosen = self.xp.zeros(out.shape, self.tap_type)
        for window in reversed(windows[:-1]):
            self.chosen += 1
            self.chosen *= canvas[window] != out
        is_nan = self.xp.isnan(out)
        if is_nan.any():
            # NaN is the maximum; the last one is chosen.
            for tap, window in enumerate(windows):
                self.xp.copyto(self.chosen, tap, where=self.xp.isnan(canvas[window]))

    def _sum(self, canvas: Array, out: Array) -> None:
        out[...] = 0
        for window in self._windows():
            out += canvas[window]

    def _weighted_mean(self, canvas: Array, out: Array) -> None:
        self._sum(canvas, out)
        squares = self.xp.zeros_like(out)
        self._sum(canvas * canvas, squares)
        out[...] = squares / self.xp.where(out > 0, out, 1)

    def _draw(self, canvas: Array, out: Array, stream: RandomStream) -> None:
        total = self.xp.zeros_like(out)
        self._sum(canvas, total)
        drawn = self.xp.asarray(stream.shares(out.size).reshape(out.shape))
        threshold = total * drawn
        running = self.xp.zeros_like(out)
        waiting = self.xp.ones(out.shape, bool)
        self.chosen = self.xp.zeros(out.shape, self.tap_type)
        out[...] = 0
        for tap, window in enumerate(self._windows()):
            values = canvas[window]
            running += values
            hit = waiting & (running >= threshold) & (values > 0)
            self.xp.copyto(out, values, where=hit)
            self.xp.copyto(self.chosen, tap, where=hit, casting="unsafe")
            waiting &= ~hit

    def _area(self) -> Array:
        """Return the area of each window cut to the padded image, of the shape of `out`."""
        sides = []
        for size, k, s, p, o in zip(
            self.image, self.op.kernel, self.op.stride, self.op.pad, self.op.out, strict=True
        ):
            start = np.arange(o) * s - p
            sides.append(np.minimum(start + k, size + p) - start)
        return self.xp.asarray(functools.reduce(np.multiply.outer, sides), self.backend.dtype)

    def _plane_index(self) -> Array:
        """Return the chosen taps as indices in the image."""
        xp, op = self.xp, self.op
        tap, index = self.chosen.astype(np.int64), 0
        for axis, size in enumerate(self.image):
            later = math.prod(op.kernel[axis + 1 :])
            inner = (1,) * (len(self.image) - axis - 1)
            starts = xp.arange(op.out[axis]).reshape(-1, *inner) * op.stride[axis] - op.pad[axis]
            index = index * size + starts + tap // later % op.kernel[axis]
        return index
