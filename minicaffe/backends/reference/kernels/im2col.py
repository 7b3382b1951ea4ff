"""im2col, one tap of the window at a time."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.conv import padding, windows
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.im2col import Im2col


@kernel(Im2col)
class ReferenceIm2col(ReferenceKernel[Im2col]):
    """Copy the windows, and accumulate their gradients (col2im)."""

    def __init__(self, backend: ReferenceBackend, op: Im2col, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        n_axes = len(op.kernel)
        self.channels = tensors[0].shape[-n_axes - 1]
        self.image = tensors[0].shape[-n_axes:]
        self.images = math.prod(tensors[0].shape[: -n_axes - 1])
        self.positions = tensors[1].shape[-n_axes:]

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        images = x.read().reshape(self.images, self.channels, *self.image)
        padded = self.xp.pad(images, [(0, 0), (0, 0), *padding(self.op, self.image)])
        columns = self._by_tap(y.write())
        for tap, window in windows(self.op, self.positions):
            columns[:, :, *tap] = padded[:, :, *window]

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        columns, out = self._by_tap(dy.read()), dx.write()
        sides = zip(self.image, padding(self.op, self.image), strict=True)
        sizes = [size + before + after for size, (before, after) in sides]
        padded = self.xp.zeros((self.images, self.channels, *sizes), out.dtype)
        for tap, window in windows(self.op, self.positions):
            padded[:, :, *window] += columns[:, :, *tap]
        inside = (slice(p, p + n) for n, p in zip(self.image, self.op.pad, strict=True))
        out[...] = padded[:, :, *inside].reshape(out.shape)

    def _by_tap(self, columns: Array) -> Array:
        """Return (N..., C * taps, *S') as (N, C, *kernel, *S')."""
        return columns.reshape(self.images, self.channels, *self.op.kernel, *self.positions)
