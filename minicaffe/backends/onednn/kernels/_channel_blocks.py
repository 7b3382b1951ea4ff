"""Packed images as arrays, for kernels that compute with NumPy in the layout of a tensor.

The usual layouts of images are the plain one, and one whose blocks of 8 or 16 channels hold the
values of a pixel side by side. Both are arrays (N, rows, pixels, block).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minicaffe.backends.onednn.kernels._pointwise import gapless_layout
from minicaffe.backends.onednn.runtime.library import Alg, Prop, Query
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Engine, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Array, Shape

BLOCKS = (16, 8)


class BlockedImages(NamedTuple):
    """A layout without padding, in which every sample is a matrix (rows, pixels * block).

    Attributes
    ----------
    layout : Layout
    samples, rows, pixels : int
        There are rows * block channels.
    block : int
        Channels that lie side by side; 1 in the plain layout.
    """

    layout: Layout
    samples: int
    rows: int
    pixels: int
    block: int

    @classmethod
    def of(cls, x: OneDnnTensor) -> BlockedImages:
        """Return the layout of x, or the plain one if that of x is of another kind."""
        return cls.of_layout(gapless_layout(x))

    @classmethod
    def of_layout(cls, layout: Layout) -> BlockedImages:
        """Return a layout, or the plain one of its shape if it is of another kind."""
        blocks = [b for b in BLOCKS if not layout.is_plain and has_blocks(layout, b)]
        return cls._divided(layout, blocks[0]) if blocks else cls.plain(layout.shape)

    @classmethod
    def plain(cls, shape: Shape) -> BlockedImages:
        """Return the plain layout of a shape."""
        return cls._divided(Layout.plain(shape), 1)

    @classmethod
    def _divided(cls, layout: Layout, block: int) -> BlockedImages:
        n, channels, *sizes = layout.shape
        return cls(layout, n, channels // block, math.prod(sizes), block)

    def resized(self, engine: Engine, shape: Shape) -> BlockedImages:
        """Return the same kind of layout for images (N, C, H, W) of another size."""
        if self.block == 1:
            return self.plain(shape)
        # The library chooses it as the result of resizing such images.
        arguments = (engine, "resampling_forward", Prop.INFERENCE, Alg.RESAMPLING_NEAREST, None)
        chosen = Primitive(*arguments, self.layout, AnyLayout(shape)).layout(Query.DST, shape)
        fits = has_blocks(chosen, self.block)
        return self._divided(chosen, self.block) if fits else self.plain(shape)

    def read(self, x: OneDnnTensor) -> Array:
        """Return the values of a tensor of this shape, (samples, rows, pixels * block)."""
        return x.values(self.layout).reshape(self.samples, self.rows, -1)

    def write(self, y: OneDnnTensor) -> Array:
        """Return the array to overwrite; call `y.write_back` afterwards."""
        return y.values_to_write(self.layout).reshape(self.samples, self.rows, -1)

    def sum_channels(self, sample: Array) -> Array:
        """Return the sum over the channels of each pixel of a sample, (pixels,)."""
        sums: Array = sample.sum(0)
        return sums if self.block == 1 else sums.reshape(self.pixels, self.block).sum(1)

    def sum_pixels(self, sample: Array) -> Array:
        """Return the sum over the pixels of each channel of a sample, (channels,)."""
        # A product is several times as fast as a sum over an axis that is not the last one.
        ones = np.ones((1, self.pixels), np.float32)
        sums: Array = ones @ sample.reshape(self.rows, self.pixels, self.block)
        return sums.reshape(-1)

    def spread_pixels(self, numbers: Array) -> Array:
        """Return one number for each pixel, or one for all, to be broadcast over the rows."""
        return numbers if self.block == 1 or len(numbers) == 1 else np.repeat(numbers, self.block)


def has_blocks(layout: Layout, block: int) -> bool:
    """Return whether values lie in blocks of so many channels, in C order otherwise."""
    shape, offset = layout.shape, block
    if shape[1] % block:
        return False
    # From the last axis to the first: how far the next pixel, block or sample is.
    for axis in (*range(len(shape) - 1, 1, -1), 1, 0):
        step = block if axis == 1 else 1
        if shape[axis] > step:
            at = tuple(step if a == axis else 0 for a in range(len(shape)))
            try:
                if layout.offset(at) != offset:
                    return False
            except Unsupported:
                return False  # blocks of several pixels or samples
        offset *= shape[axis] // step
    return True
