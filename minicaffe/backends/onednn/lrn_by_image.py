"""Local response normalisation with NumPy, an image at a time on each thread.

One image's intermediate values stay in the cache; there is scratch memory for one image a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.ops.backend import Array, Shape
from minicaffe.ops.lrn import Lrn

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

N_SCRATCH = 3
# The power that nearly all nets use; two square roots are several times faster than a power.
THREE_QUARTERS = 0.75


class ByImage:
    """Forward and backward on plain (N, C, H, W)."""

    def __init__(self, backend: OneDnnBackend, op: Lrn, shape: Shape) -> None:
        self._backend, self._op = backend, op
        # A square window is a sum over rows of sums over columns.
        self._axes = (0,) if op.region == "across" else (1, 2)
        self._factor = op.alpha / op.local_size ** len(self._axes)
        self._n = shape[0]
        self._shape = (backend.threads, N_SCRATCH, *shape[1:])
        self._scratch: Array = None

    def forward(self, x: Array, y: Array) -> None:
        """Overwrite y."""

        def run(image: int, scratch: Array) -> None:
            scale, shrink, spare = scratch
            self._scale(x[image], scale, spare)
            self._power(scale, shrink, spare)
            np.multiply(x[image], shrink, out=y[image])

        self._spread(run)

    def backward(self, x: Array, dy: Array, dx: Array) -> None:
        """Overwrite dx."""
        slope = -2 * self._factor * self._op.beta

        def run(image: int, scratch: Array) -> None:
            scale, shrink, spare = scratch
            values, given, out = x[image], dy[image], dx[image]
            self._scale(values, scale, spare)
            self._power(scale, shrink, spare)
            np.multiply(given, values, out=spare)
            spare *= shrink
            spare /= scale
            np.multiply(given, shrink, out=out)
            near = self._neighbours(spare, scale)
            near *= slope
            near *= values
            out += near

        self._spread(run)

    def _spread(self, run: Callable[[int, Array], None]) -> None:
        if self._scratch is None:
            self._scratch = np.empty(self._shape, np.float32)
        n_threads = len(self._scratch)

        def run_thread(thread: int) -> None:
            for image in range(thread, self._n, n_threads):
                run(image, self._scratch[thread])

        self._backend.spread(run_thread, pieces=self._n)

    def _scale(self, x: Array, scale: Array, spare: Array) -> None:
        """Overwrite scale with k + alpha / m * sum of x^2; spare is lost."""
        np.multiply(x, x, out=spare)
        near = self._neighbours(spare, scale)
        np.multiply(near, self._factor, out=scale)
        scale += self._op.k

    def _power(self, scale: Array, shrink: Array, spare: Array) -> None:
        """Overwrite shrink with scale^-beta; spare is lost."""
        if self._op.beta == THREE_QUARTERS:
            np.sqrt(scale, out=shrink)
            np.sqrt(shrink, out=spare)
            shrink *= spare
            np.reciprocal(shrink, out=shrink)
        else:
            np.power(scale, -self._op.beta, out=shrink)

    def _neighbours(self, values: Array, other: Array) -> Array:
        """Return the sum over the window around each value, in one of the two arrays.

        Both are lost. The window is symmetric, so that forward and backward are alike.
        """
        for axis in self._axes:
            size = values.shape[axis]
            np.copyto(other, values)
            for distance in range(1, min(self._op.local_size // 2, size - 1) + 1):
                near = (slice(None),) * axis + (slice(None, size - distance),)
                far = (slice(None),) * axis + (slice(distance, None),)
                other[near] += values[far]
                other[far] += values[near]
            values, other = other, values
        return values
