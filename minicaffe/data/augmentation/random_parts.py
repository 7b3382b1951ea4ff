"""Rectangles of random area and aspect ratio: cut out and resized, or covered with a colour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.augmentation.resampling import Interpolation, resample
from minicaffe.data.image import Pixels
from minicaffe.errors import DataError

_TRIALS = 10  # of rectangles that may not fit into the image


class Part(NamedTuple):
    """A rectangle of an image, pixels."""

    top: int
    left: int
    rows: int
    columns: int

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The indices of the part in an image, (channels, rows, columns)."""
        rows = slice(self.top, self.top + self.rows)
        return slice(None), rows, slice(self.left, self.left + self.columns)


@dataclass(frozen=True)
class RandomParts:
    """Draws rectangles: the area uniformly, the logarithm of columns / rows uniformly, the place.

    Parameters
    ----------
    areas : tuple of float
        Limits of the area, as shares of the image's.
    aspects : tuple of float
        Limits of columns / rows.
    """

    areas: tuple[float, float]
    aspects: tuple[float, float]

    def draw_part(self, rows: int, columns: int, generator: np.random.Generator) -> Part | None:
        """Return a part of an image of this size; None if none of several trials fits."""
        low, high = (math.log(aspect) for aspect in self.aspects)
        for _ in range(_TRIALS):
            area = generator.uniform(*self.areas) * rows * columns
            aspect = math.exp(generator.uniform(low, high))
            height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            top, left = generator.random(2)
            if 0 < height <= rows and 0 < width <= columns:
                at = int(top * (rows - height + 1)), int(left * (columns - width + 1))
                return Part(*at, height, width)
        return None

    def middle(self, rows: int, columns: int) -> Part:
        """Return the largest part in the middle whose aspect ratio is within the limits."""
        aspect = min(max(columns / rows, self.aspects[0]), self.aspects[1])
        height = min(rows, max(1, round(columns / aspect)))
        width = min(columns, max(1, round(rows * aspect)))
        return Part((rows - height) // 2, (columns - width) // 2, height, width)


@dataclass(frozen=True)
class RandomResizedCrop:
    """Cut out a random part and resize it; the middle of the image if no part fits.

    Parameters
    ----------
    size : tuple of int
        Rows and columns of the result.
    parts : RandomParts
    """

    size: tuple[int, int]
    parts: RandomParts

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the part, resized."""
        _, rows, columns = image.shape
        part = self.parts.draw_part(rows, columns, generator) or self.parts.middle(rows, columns)
        is_smaller = self.size[0] < part.rows and self.size[1] < part.columns
        way = Interpolation.AREA if is_smaller else Interpolation.LINEAR
        return resample(image[part.slices], *self.size, way)


@dataclass(frozen=True)
class Cutout:
    """Cover a random part with a colour.

    Parameters
    ----------
    probability : float
        How often an image is changed.
    parts : RandomParts
    value : ndarray
        One number, or one a channel, 0 to 255.
    """

    probability: float
    parts: RandomParts
    value: NDArray[np.float32]

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the image, or a changed copy.

        Raises
        ------
        DataError
            If the number of values is not that of the channels.
        """
        channels, rows, columns = image.shape
        if len(self.value) not in (1, channels):
            raise DataError(
                f"transform_param: cutout: {len(self.value)} values for images of {channels} "
                "channels; give one, or one a channel."
            )
        happens = generator.random() < self.probability
        part = self.parts.draw_part(rows, columns, generator) if happens else None
        if part is None:
            return image
        covered = image.copy()
        covered[part.slices] = np.rint(self.value).clip(0, 255).astype(np.uint8)[:, None, None]
        return covered
