"""Augmentation of brightness, colour and sharpness, as caffe-augmentation has it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from minicaffe.data.image import Pixels


@dataclass(frozen=True)
class ColourShift:
    """Add a random number to each channel, or subtract it.

    Parameters
    ----------
    most : int
        The largest number.
    probability : float
        How often an image is changed.
    """

    most: int
    probability: float

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the image, or a changed one."""
        happens = generator.random() < self.probability
        shift = generator.integers(self.most + 1, size=len(image)) * generator.choice((-1, 1))
        return _saturated(image + shift[:, None, None].astype(np.float32)) if happens else image


@dataclass(frozen=True)
class ContrastBrightness:
    """Multiply all values by a random factor and add a random number.

    Parameters
    ----------
    lowest, highest : float
        Limits of the factor.
    most : int
        The largest number, added or subtracted.
    probability : float
        How often an image is changed.
    """

    lowest: float
    highest: float
    most: int
    probability: float

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the image, or a changed one."""
        happens = generator.random() < self.probability
        factor = np.float32(generator.uniform(self.lowest, self.highest))
        shift = np.float32(generator.integers(-self.most, self.most + 1))
        return _saturated(image * factor + shift) if happens else image


@dataclass(frozen=True)
class Smoothing:
    """Smooth by a random filter: Gauss, mean or median of a random width, or a wide mean.

    Parameters
    ----------
    most : float
        The width is odd and below this number, or 1.
    probability : float
        How often an image is changed.
    """

    most: float
    probability: float

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return the image, or a changed one."""
        happens = generator.random() < self.probability
        width = 1 + 2 * int(generator.integers(max(int(self.most / 2), 1)))
        sigma = 0.3 * ((width - 1) * 0.5 - 1) + 0.8  # OpenCV's for this width
        filters = (
            ImageFilter.GaussianBlur(sigma if width > 1 else 0),
            ImageFilter.BoxBlur((width - 1) / 2),
            ImageFilter.MedianFilter(width),
            ImageFilter.BoxBlur(width - 0.5),
        )
        chosen = filters[int(generator.integers(len(filters)))]
        if not happens:
            return image
        return np.stack([np.asarray(Image.fromarray(plane).filter(chosen)) for plane in image])


def _saturated(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Pixels:
    """Return values rounded, and cut to 0 .. 255."""
    return np.rint(values).clip(0, 255).astype(np.uint8)
