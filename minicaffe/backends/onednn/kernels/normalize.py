"""Division of vectors by their norms with NumPy, one sample at a time on each thread.

A sample and its intermediate values stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._channel_blocks import BlockedImages
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.normalize import Normalize

# Computes a sample, given its index, scratch memory, and the arrays to read and to overwrite.
SampleFunction: TypeAlias = Callable[[int, Array, Sequence[Array], Array], None]


@kernel(Normalize)
class OneDnnNormalize(OneDnnKernel[Normalize]):
    """Normalise by L2 norms, and the gradient, in the layout of x."""

    def __init__(self, backend: OneDnnBackend, op: Normalize, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, y = tensors[:2]
        if op.norm != "L2" or x.shape != y.shape or len(x.shape) < 2:
            raise Unsupported("oneDNN normalises by L2 norms, without a change of shape")
        self._scratch: list[Array] = []

    def forward(self, x: OneDnnTensor, y: OneDnnTensor, norms: OneDnnTensor) -> None:
        """Overwrite y and norms."""
        images = BlockedImages.of(x)
        lengths = norms.write().reshape(images.samples, -1)

        def compute(n: int, scratch: Array, values: Sequence[Array], out: Array) -> None:
            np.multiply(values[0], values[0], out=scratch)
            np.sqrt(self._sum(images, scratch) + self.op.eps, out=lengths[n])
            np.divide(values[0], images.spread_pixels(lengths[n]), out=out)

        self._run(images, compute, [x], y)

    def backward(
        self,
        y: OneDnnTensor,
        norms: OneDnnTensor,
        dy: OneDnnTensor,
        dx: OneDnnTensor,
        dnorms: OneDnnTensor | None = None,
    ) -> None:
        """Overwrite dx."""
        images = BlockedImages.of(y)
        inverse = 1 / norms.read().reshape(images.samples, -1)
        slopes = np.zeros_like(inverse) if dnorms is None else dnorms.read().reshape(inverse.shape)

        def compute(n: int, scratch: Array, values: Sequence[Array], out: Array) -> None:
            unit, given = values
            np.multiply(given, unit, out=scratch)
            radial = slopes[n] - self._sum(images, scratch) * inverse[n]
            np.multiply(unit, images.spread_pixels(radial), out=scratch)
            np.multiply(given, images.spread_pixels(inverse[n]), out=out)
            out += scratch

        self._run(images, compute, [y, dy], dx)

    def _sum(self, images: BlockedImages, values: Array) -> Array:
        """Return the sum over each vector of a sample: one number, or one for each pixel."""
        return (
            values.sum(keepdims=True)[0] if self.op.across_pixels else images.sum_channels(values)
        )

    def _run(
        self,
        images: BlockedImages,
        compute: SampleFunction,
        inputs: Sequence[OneDnnTensor],
        result: OneDnnTensor,
    ) -> None:
        arrays, n_threads = [images.read(x) for x in inputs], self.backend.threads
        out = images.write(result)
        if not self._scratch or self._scratch[0].shape != out.shape[1:]:
            self._scratch = [np.empty(out.shape[1:], np.float32) for _ in range(n_threads)]

        def run(thread: int) -> None:
            for n in range(thread, images.samples, n_threads):
                # Here, because the threads of the pool have settings of their own.
                with np.errstate(all="ignore"):
                    compute(n, self._scratch[thread], [array[n] for array in arrays], out[n])

        self.backend.spread(run, images.samples)
        result.write_back()
