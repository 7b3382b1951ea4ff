"""Augmentation of size, proportions and place, as several forks have it.

Every step takes an image, uint8 (channels, rows, columns), and a generator, and returns an image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from minicaffe.data.augmentation.resampling import Interpolation, resample
from minicaffe.data.image import Pixels
from minicaffe.errors import DataError

_NEARLY = (
    3  # pixels by which a crop may differ from the net's size and still be cut without resizing
)


@dataclass(frozen=True)
class Rotation:
    """Turn about the middle by a random whole number of degrees; corners become black.

    Parameters
    ----------
    most : int
        The largest angle to either side, degrees.
    """

    most: int

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the image at its size, turned."""
        angle = int(generator.integers(-self.most, self.most + 1))
        planes = (Image.fromarray(plane) for plane in image)
        turned = (plane.rotate(angle, Image.Resampling.BILINEAR) for plane in planes)
        return np.stack([np.asarray(plane) for plane in turned]) if angle else image


@dataclass(frozen=True)
class Scaling:
    """Scale rows and columns by a random factor each.

    Parameters
    ----------
    lowest, highest : float
        Limits of the factors.
    least : int
        The least number of rows and columns, the size of the crop.
    probability : float
        How often an image is changed.
    """

    lowest: float
    highest: float
    least: int
    probability: float

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the image, or a changed one."""
        happens = generator.random() < self.probability
        factors = generator.uniform(self.lowest, self.highest, 2).tolist()
        height, width = (
            max(self.least, 1, int(size * factor))
            for size, factor in zip(image.shape[1:], factors, strict=True)
        )
        return resample(image, height, width, Interpolation.LINEAR) if happens else image


@dataclass(frozen=True)
class ShortSide:
    """Resize so that the short side gets a random length, and keep the proportions.

    Parameters
    ----------
    shortest, longest : int
        Limits of the length, pixels; 0 for the image's own short side, its own long side.
    interpolation : Interpolation
    """

    shortest: int
    longest: int
    interpolation: Interpolation = Interpolation.LINEAR

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the image, resized."""
        shortest = self.shortest or min(image.shape[1:])
        longest = max(self.longest or max(image.shape[1:]), shortest)
        side = int(generator.integers(shortest, longest + 1))
        return resample(image, *with_short_side(image, side), self.interpolation)


def with_short_side(image: Pixels, side: int) -> tuple[int, int]:
    """Return rows and columns in the image's proportions whose smaller one is `side`."""
    _, height, width = image.shape
    if height < width:
        return side, int(width / height * side)
    return int(height / width * side), side


@dataclass(frozen=True)
class RandomAspect:
    """Cut out a part of random area and proportions, and resize it to a square (Inception's way).

    Parameters
    ----------
    size : int
        Rows and columns of the square.
    areas : tuple of float
        Limits of the part's area, as shares of the image's.
    change : float
        The proportions are changed by a factor between this, at most 1, and its reciprocal.
    trials : int
        If no part fits so many times, the image is resized to the short side `size`.
    interpolation : Interpolation
    """

    size: int
    areas: tuple[float, float]
    change: float
    trials: int
    interpolation: Interpolation = Interpolation.LINEAR

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the part, resized."""
        _, height, width = image.shape
        for _ in range(self.trials):
            side = math.sqrt(generator.uniform(*self.areas) * height * width)
            change = generator.uniform(self.change, 1 / self.change)
            rows, columns = int(side * change), int(side / change)
            if generator.random() < 0.5:
                rows, columns = columns, rows
            if 0 < rows <= height and 0 < columns <= width:
                top = int(generator.integers(height - rows + 1))
                left = int(generator.integers(width - columns + 1))
                part = image[:, top : top + rows, left : left + columns]
                return resample(part, self.size, self.size, self.interpolation)
        return resample(image, *with_short_side(image, self.size), self.interpolation)


@dataclass(frozen=True)
class Stretching:
    """Resize at random as NVCaffe does: short side, then proportions, then both sides.

    Parameters
    ----------
    sides : tuple of int
        Limits of the short side, pixels; (0, 0) keeps the image's own.
    ratios : tuple of float
        The long side becomes the short one times a number between these; (0, 0) keeps it.
    vertical, horizontal : tuple of float
        Limits of factors for rows and columns.
    least : int
        The least number of rows and columns, the size of the crop.
    enlarges : bool
        Whether a side may become longer than the image's.
    down, up : Interpolation
        For images that become smaller in both directions, and for all others.
    """

    sides: tuple[int, int]
    ratios: tuple[float, float]
    vertical: tuple[float, float]
    horizontal: tuple[float, float]
    least: int
    enlarges: bool
    down: Interpolation
    up: Interpolation

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the image, resized."""
        _, height, width = image.shape
        lower, upper = self.sides if self.sides != (0, 0) else (min(height, width),) * 2
        side = int(generator.integers(lower, upper + 1))
        factor = side / min(height, width)
        rows, columns = factor * height, factor * width
        if self.ratios != (0, 0):
            long = side * generator.uniform(*self.ratios)
            is_tall = rows > columns if rows != columns else generator.random() < 0.5
            rows, columns = (long, columns) if is_tall else (rows, long)
        rows *= generator.uniform(*self.vertical)
        columns *= generator.uniform(*self.horizontal)
        sizes = (max(self.least, 1, math.floor(length + 0.5)) for length in (rows, columns))
        new_height, new_width = sizes
        if not self.enlarges:
            new_height, new_width = min(new_height, height), min(new_width, width)
        is_smaller = new_height <= height and new_width <= width
        return resample(image, new_height, new_width, self.down if is_smaller else self.up)


@dataclass(frozen=True)
class Padding:
    """Add black rows and columns on all sides.

    Parameters
    ----------
    size : int
        Pixels on each side.
    """

    size: int

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the image, padded."""
        return np.pad(image, ((0, 0), (self.size, self.size), (self.size, self.size)))


@dataclass(frozen=True)
class CornerCrop:
    """Cut out a part at one of a few places, of one of a few sizes, and resize it to a square.

    Parameters
    ----------
    size : int
        Rows and columns of the square.
    ratios : tuple of float
        Rows and columns of the part are shares of the short side; () for the size of the square.
    distortion : int
        By how many places in `ratios` the shares for rows and columns may differ.
    n_places : int
        5 for the corners and the middle, 13 for points between them as well, 0 for any place.
    """

    size: int
    ratios: tuple[float, ...]
    distortion: int
    n_places: int

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the part, resized.

        Raises
        ------
        DataError
            If the image is smaller than a part of the size of the square.
        """
        _, height, width = image.shape
        sizes = self._sizes(min(height, width))
        rows, columns = sizes[int(generator.integers(len(sizes)))]
        spare = np.array([height - rows, width - columns])
        if spare.min() < 0:
            raise DataError(
                f"transform_param: crop_size {self.size} is larger than the image, {height} x "
                f"{width} (rows x columns). Use at most {min(height, width)}, or multi_scale."
            )
        if self.n_places:
            place = int(generator.integers(self.n_places))
            top, left = (spare // 4 * _QUARTERS[place]).tolist()
        else:
            top, left = generator.integers(spare + 1).tolist()
        part = image[:, top : top + rows, left : left + columns]
        return resample(part, self.size, self.size, Interpolation.LINEAR)

    def _sizes(self, side: int) -> list[tuple[int, int]]:
        """Return the sizes of parts of an image with this short side."""
        lengths = [max(1, int(side * ratio)) for ratio in self.ratios] or [self.size]
        if self.size <= side:
            lengths = [n if abs(n - self.size) >= _NEARLY else self.size for n in lengths]
        return [
            (rows, columns)
            for i, rows in enumerate(lengths)
            for k, columns in enumerate(lengths)
            if abs(i - k) <= self.distortion
        ]


# Rows and columns of the places of parts, in quarters of the space that is left over.
_CORNERS = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))
_BETWEEN = ((0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (1, 3), (3, 1), (3, 3))
_QUARTERS = np.array([*_CORNERS, *_BETWEEN])
N_CORNERS, N_PLACES = len(_CORNERS), len(_QUARTERS)
