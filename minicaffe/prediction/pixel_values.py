"""How pixels become the values of a net: as in its training, or by mean and scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from minicaffe.data.image import Pixels, image_pixels
from minicaffe.data.pixels.resizing import resize
from minicaffe.data.preparation import Floats, ImagePreparation
from minicaffe.errors import NetError
from minicaffe.ops.backend import Shape
from minicaffe.prediction.image_model import ImageContent

_RGB = 3


@dataclass(frozen=True)
class PixelValues:
    """Values of a net for pixels: (pixel * raw_scale / 255 - mean) * scale.

    Parameters
    ----------
    mean : ndarray of float32, optional
        One value, or one for each channel, in the order of the net's channels; by default 0.
    scale, raw_scale : float
    order : sequence of int
        For each channel of a net with three: the index of the colour in red, green, blue.
    """

    mean: Floats | None = None
    scale: float = 1.0
    raw_scale: float = 255.0
    order: tuple[int, ...] = (2, 1, 0)

    def check_channels(self, path: str, channels: int) -> None:
        """Raise a NetError unless the mean fits to a net with some channels."""
        n = 1 if self.mean is None else len(self.mean)
        if n not in (1, channels):
            raise NetError(
                f"{path}: its input has {channels} channels, the mean {n}. Give a value for each "
                "channel of the input, or no mean (--mean_file= in detect)"
            )

    def of_pixels(self, pixels: Pixels) -> Floats:
        """Return values, float32, for pixels of the same shape, (channels, rows, columns)."""
        if len(pixels) == _RGB:
            pixels = pixels[::-1][list(self.order)]
        values = pixels.astype(np.float32)
        if self.raw_scale != 255:
            values *= np.float32(self.raw_scale / 255)
        if self.mean is not None:
            values -= self.mean.astype(np.float32)[:, None, None]
        return values * np.float32(self.scale) if self.scale != 1 else values


class Preparation(Protocol):
    """Makes the values of the only input of a net."""

    def __call__(self, image: ImageContent, where: str) -> tuple[Floats, tuple[int, int]]:
        """Return values, shape (channels, rows, columns), and rows and columns of the image."""


class TrainingPreparation:
    """Prepares images as the data layer of a training net does.

    Parameters
    ----------
    prepare : ImagePreparation
    """

    def __init__(self, prepare: ImagePreparation) -> None:
        self._prepare = prepare

    def __call__(self, image: ImageContent, where: str) -> tuple[Floats, tuple[int, int]]:
        """Return values, shape (channels, rows, columns), and rows and columns of the image."""
        pixels = image_pixels(image, self._prepare.form.channels == _RGB, where)
        return self._prepare(pixels, where), (pixels.shape[1], pixels.shape[2])


class ResizedPreparation:
    """Prepares images by resizing them to a net's input, which has a mean and a scale.

    Parameters
    ----------
    shape : tuple of int
        Channels, rows and columns of the input.
    values : PixelValues
    """

    def __init__(self, shape: Shape, values: PixelValues) -> None:
        self._shape, self._values = shape, values

    def __call__(self, image: ImageContent, where: str) -> tuple[Floats, tuple[int, int]]:
        """Return values, shape (channels, rows, columns), and rows and columns of the image."""
        channels, rows, columns = self._shape
        pixels = image_pixels(image, channels == _RGB, where)
        resized = resize(pixels, rows, columns)
        return self._values.of_pixels(resized), (pixels.shape[1], pixels.shape[2])
