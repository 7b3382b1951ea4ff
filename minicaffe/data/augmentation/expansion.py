"""expand_param: images at a random place in a larger one, so that their objects become small."""

from __future__ import annotations

import numpy as np

from minicaffe.data.augmentation.objects import Window
from minicaffe.data.image import Pixels
from minicaffe.data.mean import read_mean
from minicaffe.data.pixels.resizing import resize
from minicaffe.errors import DataError
from minicaffe.schema.minicaffe_pb2 import TransformationParameter

_LEAST_RATIO = 1e-2  # above 1


class Expansion:
    """Puts an image at a random place in one that is up to max_expand_ratio times as large.

    What is new has the values of the mean, or 0.

    Parameters
    ----------
    param : TransformationParameter

    Raises
    ------
    DataError
        If max_expand_ratio is below 1, prob is not a probability, or the mean cannot be read.
    """

    def __init__(self, param: TransformationParameter) -> None:
        self._probability = float(param.expand_param.prob)
        self._most = float(param.expand_param.max_expand_ratio)
        if self._most < 1 or not 0 <= self._probability <= 1:
            raise DataError(
                f"transform_param: expand_param: max_expand_ratio: {self._most:g} must be 1 or "
                f"more, and prob: {self._probability:g} a probability."
            )
        self._values = np.rint(param.mean_value or [0.0]).clip(0, 255).astype(np.uint8)
        mean = read_mean(param.mean_file) if param.mean_file else None
        self._mean = None if mean is None else np.rint(mean).clip(0, 255).astype(np.uint8)

    def __call__(self, image: Pixels, generator: np.random.Generator) -> tuple[Pixels, Window]:
        """Return the larger image, and its borders in units of the given one."""
        happens = generator.random() < self._probability
        ratio = generator.uniform(1, self._most)
        places = generator.random(2)
        if not happens or self._most - 1 < _LEAST_RATIO:
            return image, (0.0, 0.0, 1.0, 1.0)
        channels, height, width = image.shape
        rows, columns = int(height * ratio), int(width * ratio)
        top, left = (
            int(place * spare)
            for place, spare in zip(places, (rows - height, columns - width), strict=True)
        )
        if self._mean is None:
            larger = np.empty((channels, rows, columns), np.uint8)
            larger[...] = self._values[:, None, None]
        else:
            larger = resize(self._mean, rows, columns).copy()
        larger[:, top : top + height, left : left + width] = image
        return larger, (
            -left / width,
            -top / height,
            (columns - left) / width,
            (rows - top) / height,
        )
