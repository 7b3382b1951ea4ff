"""resize_param: the size of the images of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from minicaffe.data.augmentation.objects import Floats, move_objects
from minicaffe.data.augmentation.resampling import Interpolation, resample
from minicaffe.data.image import Pixels
from minicaffe.errors import DataError
from minicaffe.schema.forks_pb2 import ResizeParameter

# NumPy's names of OpenCV's borders.
_BORDERS: Mapping[int, Literal["constant", "reflect", "edge"]] = {
    ResizeParameter.CONSTANT: "constant",
    ResizeParameter.MIRRORED: "reflect",
    ResizeParameter.REPEAT_NEAREST: "edge",
}


class ResizePolicy:
    """Resizes images and the boxes in them, as resize_param asks for.

    WARP gives the image height x width. FIT_SMALL_SIZE keeps the proportions and makes the image
    just large enough for height x width. FIT_LARGE_SIZE_AND_PAD keeps them and makes it just small
    enough; what is missing to both sides is padded.

    Parameters
    ----------
    param : ResizeParameter

    Raises
    ------
    DataError
        If height or width are missing.
    """

    def __init__(self, param: ResizeParameter) -> None:
        if not (param.height and param.width):
            raise DataError(
                f"transform_param: resize_param: height: {param.height} width: {param.width}; "
                "both must be given."
            )
        self.height, self.width = int(param.height), int(param.width)
        self._mode, self._border = param.resize_mode, _BORDERS[param.pad_mode]
        self._pad_values = [*param.pad_value]
        names = [ResizeParameter.Interp_mode.Name(mode) for mode in param.interp_mode]
        self._interpolations = [Interpolation[name] for name in names] or [Interpolation.LINEAR]

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return an image, uint8 (channels, rows, columns), resized."""
        interpolation = self._interpolations[int(generator.integers(len(self._interpolations)))]
        rows, columns = self._inner_size(*image.shape[1:])
        resized = resample(image, max(rows, 1), max(columns, 1), interpolation)
        if self._mode != ResizeParameter.FIT_LARGE_SIZE_AND_PAD:
            return resized
        return self._padded(resized)

    def move_boxes(self, objects: Floats, height: int, width: int) -> Floats:
        """Return the objects of an image of this size, in units of the resized one."""
        if self._mode != ResizeParameter.FIT_LARGE_SIZE_AND_PAD:
            return move_objects(objects, (1, 1), (0, 0))
        aspect, wanted = width / height, self.width / self.height
        scale = (1.0, wanted / aspect) if aspect > wanted else (aspect / wanted, 1.0)
        return move_objects(objects, scale, ((1 - scale[0]) / 2, (1 - scale[1]) / 2))

    def _inner_size(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns before padding."""
        if self._mode == ResizeParameter.WARP:
            return self.height, self.width
        # In float32, as in SSD: a quotient just below a whole number gives one pixel less.
        aspect = np.float32(width) / np.float32(height)
        wanted = np.float32(self.width) / np.float32(self.height)
        is_small = self._mode == ResizeParameter.FIT_SMALL_SIZE
        if (aspect < wanted) == is_small:
            return int(np.float32(self.width) / aspect), self.width
        return self.height, int(aspect * np.float32(self.height))

    def _padded(self, image: Pixels) -> Pixels:
        channels, height, width = image.shape
        above, left = (self.height - height) // 2, (self.width - width) // 2
        beside = ((above, self.height - height - above), (left, self.width - width - left))
        if self._border != "constant":
            bordered: Pixels = np.pad(image, ((0, 0), *beside), self._border)
            return bordered
        values = self._pad_values or [0.0]
        if len(values) not in (1, channels):
            raise DataError(
                f"transform_param: resize_param: {len(values)} pad_values for images of {channels} "
                "channels; give one, or one a channel."
            )
        padded = np.empty((channels, self.height, self.width), np.uint8)
        padded[...] = np.rint(values).clip(0, 255).reshape(-1, 1, 1)
        padded[:, above : above + height, left : left + width] = image
        return padded
