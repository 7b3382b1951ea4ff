"""SPP: spatial pyramid pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Tensor
from minicaffe.ops.concat import Concat
from minicaffe.ops.layout import Add
from minicaffe.ops.pool import Pool, PoolKernel, PoolMode
from minicaffe.schema.minicaffe_pb2 import SPPParameter


@dataclass
class _Level:
    """One level of the pyramid: its output, and its share of the bottom's gradient."""

    pooled: Blob
    share: Blob


@register("SPP")
class SPP(Layer[SPPParameter]):
    """Apply spatial pyramid pooling: images of any size become vectors of a fixed size.

    Shapes: x (N, C, H, W) -> y (N, C * bins), or (N, C, 1, 1) with pyramid_height: 1

    Notes
    -----
    Level l has 2^l by 2^l bins, each a window of ceil(H / 2^l) rows and ceil(W / 2^l) columns
    side by side; missing pixels are padded, an odd number with one more row or column before than
    after. The vector holds level after level, and in each level channel after channel. bins is
    (4^pyramid_height - 1) / 3.

    References
    ----------
    He et al., "Spatial pyramid pooling in deep convolutional networks for visual recognition",
    2014.
    """

    role = "pooling"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the levels."""
        proto = self.settings
        self.require(proto.pyramid_height > 0, "pyramid_height is missing or 0; set at least 1")
        x = bottom[0]
        # The last level has 2^(pyramid_height - 1) bins by axis, and each needs a pixel.
        most = max(x.shape, default=1).bit_length()
        self.require_shape(
            proto.pyramid_height <= most,
            f'bottom "{x.name}" of shape {x.shape} is too small for pyramid_height: '
            f"{proto.pyramid_height}; lower it to {most} or less",
        )
        self.mode = cast(PoolMode, type(proto).PoolMethod.Name(proto.pool).lower())
        backend = self.context.backend
        self.levels = [
            _Level(Blob(backend, f"level {i}"), Blob(backend, f"share of level {i}"))
            for i in range(proto.pyramid_height)
        ]

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Cut the image into bins and plan."""
        x = bottom[0]
        self.require_shape(
            len(x.shape) == 4, f'bottom "{x.name}" must be (N, C, H, W), it is {x.shape}'
        )
        samples, channels = x.shape[:2]
        self.kernels: list[PoolKernel] = []
        for i, level in enumerate(self.levels):
            op = self._pool(2**i, x)
            level.pooled.reshape((samples, channels, *op.out))
            level.share.reshape(x.shape)
            self.kernels.append(self.plan(op, x.data, level.pooled.data))
        if len(self.levels) == 1:
            top[0].reshape((samples, channels, 1, 1))
        else:
            bins = sum(4**i for i in range(len(self.levels)))
            top[0].reshape((samples, channels * bins))
        vectors = [self._vector(level.pooled.data) for level in self.levels]
        self.concat = self.plan(Concat(1), self._vector(top[0].data), *vectors)
        self.add = self.plan(Add(), *(level.share.data for level in self.levels), x.data)

    def _pool(self, bins: int, x: Blob) -> Pool:
        """Return the pooling into bins by bins adjacent windows."""
        image = x.shape[2:]
        kernel = tuple(-(-size // bins) for size in image)
        missing = [k * bins - size for k, size in zip(kernel, image, strict=True)]
        pad = tuple((m + 1) // 2 for m in missing)
        self.require_shape(
            all(p < k for p, k in zip(pad, kernel, strict=True)),
            f'bottom "{x.name}" has images of {image}, too small for {bins} by {bins} bins. '
            f"Lower pyramid_height: {len(self.levels)}.",
        )
        self.require(
            self.mode != "stochastic" or not any(pad),
            f"pool: STOCHASTIC takes no pad: {bins} bins must divide {image}",
        )
        return Pool(self.mode, kernel, kernel, pad, (bins, bins), training=self.is_training)

    def _vector(self, tensor: Tensor) -> Tensor:
        """Return (N, ...) as (N, K)."""
        return tensor.view((tensor.shape[0], math.prod(tensor.shape[1:])))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        for i, (level, kernel) in enumerate(zip(self.levels, self.kernels, strict=True)):
            draws = self.mode == "stochastic" and self.is_training
            stream = self.stream(f"level/{i}") if draws else None
            kernel.forward(bottom[0].data, level.pooled.data, None, stream)
        vectors = [self._vector(level.pooled.data) for level in self.levels]
        self.concat.forward(vectors, self._vector(top[0].data))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if not propagate_down[0]:
            return
        vectors = [self._vector(level.pooled.diff) for level in self.levels]
        self.concat.backward(self._vector(top[0].diff), vectors)
        for level, kernel in zip(self.levels, self.kernels, strict=True):
            kernel.backward(level.pooled.diff, level.share.diff)
        self.add.forward([level.share.diff for level in self.levels], bottom[0].diff)
