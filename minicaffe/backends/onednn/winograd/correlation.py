"""Sizes of a correlation that Winograd's algorithm computes, as the C kernels read them.

An output tile of 4x4 for 3x3 filters, of 2x2 for 5x5, needs an input tile of 6x6. Both are
transformed so that the convolution becomes one matrix product, tiles times channels, for each of 36
positions: 36 multiplications where the definition takes 144, or 100.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minicaffe.backends.onednn.runtime.library import TAGS_OF_FILTERS, TAGS_OF_IMAGES, DataType
from minicaffe.backends.onednn.runtime.memory import Layout, TaggedLayout, address_of
from minicaffe.backends.onednn.runtime.precision import ValueType
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import HostArray, Shape
from minicaffe.ops.conv import Conv

SPAN = 6
POSITIONS = SPAN**2

# By taps: with fewer tiles, transforming the filters takes longer than the products save, measured
# with AVX2 and AVX-512.
MIN_TILES = {3: 12, 5: 24}
# The share of the computed outputs that must be inside the image.
MIN_SHARE = 0.5
# How many multiplications one of Winograd's must replace to be as fast as direct products of
# bfloat16, which take half the time of float32, and for how many pixels these multiply while the
# filters are converted to bfloat16; measured on an AMD EPYC (Zen 5).
MIN_SAVING_OF_BF16 = 3.5
PIXELS_OF_CONVERSION = 300


class Correlation(NamedTuple):
    """A correlation of x, padded by `pad` rows and columns, with square filters gives y.

    Attributes
    ----------
    x, y, pad : tuple of int
    taps : int
        Rows and columns of a filter.
    group : int
    is_flipped : bool
        Whether x and y are the gradients of a convolution's output and input.
    """

    x: Shape
    y: Shape
    pad: Shape
    taps: int
    group: int
    is_flipped: bool = False

    @property
    def group_channels(self) -> tuple[int, int]:
        """Channels of x and of y in a group."""
        return self.x[1] // self.group, self.y[1] // self.group

    @property
    def filter_values(self) -> int:
        """Number of inputs times outputs in a group: the filters of one tap."""
        return math.prod(self.group_channels)

    @property
    def tiles(self) -> int:
        """Number of tiles that cover all images."""
        return self.x[0] * math.prod(self._grid)

    @property
    def _grid(self) -> tuple[int, int]:
        """Numbers of tiles that cover the rows and the columns of y."""
        return -(-self.y[2] // self._outputs), -(-self.y[3] // self._outputs)

    @property
    def _outputs(self) -> int:
        """Rows and columns of an output tile."""
        return SPAN + 1 - self.taps

    def is_faster(self, lanes: int, operands: DataType = DataType.F32) -> bool:
        """Return whether the C kernels can compute this, and faster than direct convolution.

        Parameters
        ----------
        lanes : int
            Channels in a block.
        operands : DataType
            Of the direct convolution.
        """
        rows, columns = self._grid
        share = self.y[2] * self.y[3] / (rows * columns * self._outputs**2)
        fits = max(self.pad) < self.taps and not any(n % lanes for n in self.group_channels)
        if not fits or self.tiles < MIN_TILES[self.taps] or share < MIN_SHARE:
            return False
        if operands is not DataType.BF16:
            return True
        saving = share * (self._outputs * self.taps) ** 2 / POSITIONS
        pixels = self.x[0] * self.y[2] * self.y[3]
        return saving * (1 + PIXELS_OF_CONVERSION / pixels) >= MIN_SAVING_OF_BF16

    def structure(self, lanes: int, tiles: int, is_shared: bool) -> HostArray:
        """Return the structure `Correlation` of winograd.h.

        Parameters
        ----------
        lanes : int
            Channels in a block.
        tiles : int
            The largest number of tiles that are processed together.
        is_shared : bool
            Whether all threads process such a range together.
        """
        blocks = (n // lanes for n in self.group_channels)
        numbers = [self.group, self.x[0], *blocks, *self.pad, *self._grid, tiles]
        numbers += [is_shared, self.taps, self.is_flipped]
        for _, channels, rows, columns in (self.x, self.y):
            block = rows * columns * lanes
            numbers += [rows, columns, channels // lanes * block, block, columns * lanes, lanes]
        return np.array([*numbers, *[ValueType.FLOAT32] * 3], np.int64)


def correlation(op: Conv, x: Shape, y: Shape) -> Correlation | None:
    """Return the correlation of a convolution, None if there are no transforms for its filters."""
    taps = op.kernel[0]
    dense = ((taps, taps), (1, 1), (1, 1))
    if taps not in MIN_TILES or (op.kernel, op.stride, op.dilation) != dense or op.transposed:
        return None
    return Correlation(x, y, op.pad, taps, op.group)


def flipped(forward: Correlation) -> Correlation:
    """Return the correlation of y's gradient with flipped filters, which gives that of x."""
    x, y, pad, taps, group, _ = forward
    return Correlation(y, x, tuple(taps - 1 - p for p in pad), taps, group, is_flipped=True)


class BlockedOperand:
    """Images in blocks of channels, as the C kernels read and write them.

    Parameters
    ----------
    shape : tuple of int
    lanes : int
        Channels in a block.
    precision : DataType
        Of the operands of a product.
    """

    def __init__(self, shape: Shape, lanes: int, precision: DataType) -> None:
        wide = TaggedLayout(shape, TAGS_OF_IMAGES[lanes])
        self._wide = self._narrow = Layout.of(wide.handle, shape)
        self._rounds = precision is DataType.BF16
        if self._rounds:
            narrow = TaggedLayout(shape, TAGS_OF_IMAGES[lanes], DataType.BF16)
            self._narrow = Layout.of(narrow.handle, shape)

    def read(self, x: OneDnnTensor) -> tuple[int, ValueType]:
        """Return the address and type of values to read; they are bfloat16 if stored so."""
        if not self._rounds:
            return address_of(x.source(self._wide)), ValueType.FLOAT32
        if x.stored is self._narrow:
            return address_of(x.source(self._narrow)), ValueType.BFLOAT16
        return address_of(x.source(self._wide)), ValueType.ROUNDED_TO_BFLOAT16

    def write(self, y: OneDnnTensor) -> tuple[int, ValueType]:
        """Return the address of values to overwrite, and their type; then call `y.write_back`."""
        written = ValueType.BFLOAT16 if self._rounds else ValueType.FLOAT32
        return address_of(y.target(self._narrow)), written


def value_type_of_filters(precision: DataType) -> ValueType:
    """Return how filters, which are stored as float32, are read."""
    is_narrow = precision is DataType.BF16
    return ValueType.ROUNDED_TO_BFLOAT16 if is_narrow else ValueType.FLOAT32


def blocked_filters(shape: Shape, lanes: int) -> Layout:
    """Return the layout of filters in square blocks of so many inputs and outputs."""
    tagged = TaggedLayout(shape, TAGS_OF_FILTERS[lanes])
    return Layout.of(tagged.handle, shape)


def position_values(channels: int, tiles: int, lanes: int) -> int:
    """Return the distance between two positions of a range, `position_step` of winograd.h."""
    return channels * tiles + lanes
