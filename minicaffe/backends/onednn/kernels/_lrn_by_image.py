"""Local response normalisation with NumPy, one image at a time on each thread.

The intermediate values of one image stay in the cache; scratch memory is for one image a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from minicaffe.backends.onednn.kernels._image_chunks import ImageChunks
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Array, Shape
from minicaffe.ops.lrn import Lrn

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

N_SCRATCH = 3
# Images of a thread in a chunk: with fewer, switching threads costs more than the memory saved.
IMAGES = 4
# The exponent of nearly all nets; two square roots are several times faster than a power.
THREE_QUARTERS = 0.75

# Computes one image: scratch memory, the image of each input, and of the output.
ImageFunction: TypeAlias = Callable[[Array, Sequence[Array], Array], None]


class LrnByImage:
    """Forward and backward on (N, C, H, W), in the layout of x."""

    def __init__(self, backend: OneDnnBackend, op: Lrn, shape: Shape) -> None:
        self._backend, self._op = backend, op
        # A square window is a sum over rows of sums over columns.
        self._axes = (0,) if op.region == "across" else (1, 2)
        self._factor = op.alpha / op.local_size ** len(self._axes)
        self._chunks = ImageChunks(backend, shape, IMAGES * backend.threads)
        self._shape = (backend.threads, N_SCRATCH, *shape[1:])
        self._scratch: Array = None

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._run(self._forward_image, (x,), y)

    def backward(self, x: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        self._run(self._backward_image, (x, dy), dx)

    def _run(
        self, compute: ImageFunction, inputs: Sequence[OneDnnTensor], result: OneDnnTensor
    ) -> None:
        if self._scratch is None:
            self._scratch = np.empty(self._shape, np.float32)
        n_threads = len(self._scratch)
        for arrays, out in self._chunks(inputs, result):

            def run(thread: int, arrays: Sequence[Array] = arrays, out: Array = out) -> None:
                for image in range(thread, len(out), n_threads):
                    compute(self._scratch[thread], [array[image] for array in arrays], out[image])

            self._backend.spread(run, len(out))

    def _forward_image(self, scratch: Array, inputs: Sequence[Array], y: Array) -> None:
        (x,), (scale, shrink, temporary) = inputs, scratch
        self._scale(x, scale, temporary)
        self._power(scale, shrink, temporary)
        np.multiply(x, shrink, out=y)

    def _backward_image(self, scratch: Array, inputs: Sequence[Array], dx: Array) -> None:
        (x, dy), (scale, shrink, temporary) = inputs, scratch
        self._scale(x, scale, temporary)
        self._power(scale, shrink, temporary)
        np.multiply(dy, x, out=temporary)
        temporary *= shrink
        temporary /= scale
        np.multiply(dy, shrink, out=dx)
        sums = self._window_sums(temporary, scale)
        sums *= -2 * self._factor * self._op.beta
        sums *= x
        dx += sums

    def _scale(self, x: Array, scale: Array, temporary: Array) -> None:
        """Overwrite scale with k + alpha / m * sum of x^2, and temporary."""
        np.multiply(x, x, out=temporary)
        sums = self._window_sums(temporary, scale)
        np.multiply(sums, self._factor, out=scale)
        scale += self._op.k

    def _power(self, scale: Array, shrink: Array, temporary: Array) -> None:
        """Overwrite shrink with scale^-beta, and temporary."""
        if self._op.beta == THREE_QUARTERS:
            np.sqrt(scale, out=shrink)
            np.sqrt(shrink, out=temporary)
            shrink *= temporary
            np.reciprocal(shrink, out=shrink)
        else:
            np.power(scale, -self._op.beta, out=shrink)

    def _window_sums(self, values: Array, other: Array) -> Array:
        """Return the sum over the window around each value, in one of the two arrays.

        Overwrites both. The window is symmetric, so forward and backward use the same sums.
        """
        for axis in self._axes:
            size = values.shape[axis]
            np.copyto(other, values)
            for distance in range(1, min(self._op.local_size // 2, size - 1) + 1):
                lower = (slice(None),) * axis + (slice(None, size - distance),)
                upper = (slice(None),) * axis + (slice(distance, None),)
                other[lower] += values[upper]
                other[upper] += values[lower]
            values, other = other, values
        return values
