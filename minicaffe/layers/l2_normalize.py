"""L2Normalize."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.normalize import Normalize

# The square of the 1e-7 that C3D adds to the length.
_EPS = 1e-14


@register("L2Normalize")
class L2Normalize(Layer):
    """Divide each sample by its Euclidean length.

    Shapes: x (N, ...) -> y (N, ...)

    Notes
    -----
    y[n] = x[n] / sqrt(sum of x[n]^2 + 1e-14). The layer of C3D.

    Differs from C3D: there the divisor is sqrt(sum of x[n]^2) + 1e-7, the same for lengths that are
    0, or much larger than 1e-7.
    """

    role = "normalization"
    reads_bottoms = False
    reads_tops = "values"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the blob of lengths."""
        self.require_shape(bottom[0].shape, f'bottom "{bottom[0].name}" must have samples')
        self.norms = Blob(self.context.backend, "norms")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        shape = bottom[0].shape
        top[0].reshape(shape)
        self.norms.reshape(shape[:1])
        op = Normalize(_EPS, across_pixels=True)
        self.kernel = self.plan(op, bottom[0].data, top[0].data, self.norms.data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data, self.norms.data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(top[0].data, self.norms.data, top[0].diff, bottom[0].diff)
