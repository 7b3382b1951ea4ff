"""Local response normalisation with NumPy, an image at a time on each thread.

One image's intermediate values stay in the cache; there is scratch memory for one image a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from minicaffe.backends.onednn.kernels._image_chunks import Pieces
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Array, Shape
from minicaffe.ops.lrn import Lrn

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

N_SCRATCH = 3
# For each thread at a time: with fewer, handing over takes longer than it saves of memory.
IMAGES = 4
# The power that nearly all nets use; two square roots are several times faster than a power.
THREE_QUARTERS = 0.75

# What is computed of one image: scratch memory, the image of each input, and of the output.
Work: TypeAlias = Callable[[Array, Sequence[Array], Array], None]


class ByImage:
    """Forward and backward on (N, C, H, W), in whatever layout."""

    def __init__(self, backend: OneDnnBackend, op: Lrn, shape: Shape) -> None:
        self._backend, self._op = backend, op
        # A square window is a sum over rows of sums over columns.
        self._axes = (0,) if op.region == "across" else (1, 2)
        self._factor = op.alpha / op.local_size ** len(self._axes)
        self._pieces = Pieces(backend, shape, IMAGES * backend.threads)
        self._shape = (backend.threads, N_SCRATCH, *shape[1:])
        self._scratch: Array = None

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._run(self._normalise, (x,), y)

    def backward(self, x: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        self._run(self._turn_back, (x, dy), dx)

    def _run(self, work: Work, given: Sequence[OneDnnTensor], result: OneDnnTensor) -> None:
        """Compute a few images on each thread at a time, so that few are plain at once."""
        if self._scratch is None:
            self._scratch = np.empty(self._shape, np.float32)
        n_threads = len(self._scratch)
        for arrays, out in self._pieces(given, result):

            def run(thread: int, arrays: Sequence[Array] = arrays, out: Array = out) -> None:
                for image in range(thread, len(out), n_threads):
                    work(self._scratch[thread], [array[image] for array in arrays], out[image])

            self._backend.spread(run, pieces=len(out))

    def _normalise(self, scratch: Array, given: Sequence[Array], y: Array) -> None:
        (x,), (scale, shrink, spare) = given, scratch
        self._scale(x, scale, spare)
        self._power(scale, shrink, spare)
        np.multiply(x, shrink, out=y)

    def _turn_back(self, scratch: Array, given: Sequence[Array], dx: Array) -> None:
        (x, dy), (scale, shrink, spare) = given, scratch
        self._scale(x, scale, spare)
        self._power(scale, shrink, spare)
        np.multiply(dy, x, out=spare)
        spare *= shrink
        spare /= scale
        np.multiply(dy, shrink, out=dx)
        near = self._neighbours(spare, scale)
        near *= -2 * self._factor * self._op.beta
        near *= x
        dx += near

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
