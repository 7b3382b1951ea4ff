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
_NOT_IMPLEMENTED = ("center_object", "max_angle", "height_scale", "width_scale")


class ResizePolicy:
    """Resizes images and the boxes in them, as resize_param asks for.

    WARP gives the image height x width. FIT_SMALL_SIZE keeps the proportions and makes the image
    just large enough for height x width. FIT_LARGE_SIZE_AND_PAD keeps them and makes it just small
    enough; what is missing to both sides is padded. With multiscale height and width are one random
    number from min_sz to max_sz, another for each image.

    Parameters
    ----------
    param : ResizeParameter

    Raises
    ------
    DataError
        If height or width are missing, or something is asked for that is not implemented.
    """

    def __init__(self, param: ResizeParameter) -> None:
        for name in _NOT_IMPLEMENTED:
            if getattr(param, name):
                raise DataError(f"transform_param: resize_param: {name} is not implemented.")
        self._sides = _sides(param)
        if not self._sides and not (param.height and param.width):
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
        size = self.height, self.width
        if self._sides:
            size = (int(generator.choice(self._sides)),) * 2
        rows, columns = self._inner_size(size, *image.shape[1:])
        resized = resample(image, max(rows, 1), max(columns, 1), interpolation)
        if self._mode != ResizeParameter.FIT_LARGE_SIZE_AND_PAD:
            return resized
        return self._padded(resized, *size)

    def move_boxes(self, objects: Floats, height: int, width: int) -> Floats:
        """Return the objects of an image of this size, in units of the resized one."""
        if self._mode != ResizeParameter.FIT_LARGE_SIZE_AND_PAD:
            return move_objects(objects, (1, 1), (0, 0))
        aspect, wanted = width / height, 1.0 if self._sides else self.width / self.height
        scale = (1.0, wanted / aspect) if aspect > wanted else (aspect / wanted, 1.0)
        return move_objects(objects, scale, ((1 - scale[0]) / 2, (1 - scale[1]) / 2))

    def _inner_size(self, size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of an image of height x width before padding."""
        if self._mode == ResizeParameter.WARP:
            return size
        # In float32, as in SSD: a quotient just below a whole number gives one pixel less.
        aspect = np.float32(width) / np.float32(height)
        wanted = np.float32(size[1]) / np.float32(size[0])
        is_small = self._mode == ResizeParameter.FIT_SMALL_SIZE
        if (aspect < wanted) == is_small:
            return int(np.float32(size[1]) / aspect), size[1]
        return size[0], int(aspect * np.float32(size[0]))

    def _padded(self, image: Pixels, rows: int, columns: int) -> Pixels:
        channels, height, width = image.shape
        above, left = (rows - height) // 2, (columns - width) // 2
        beside = ((above, rows - height - above), (left, columns - width - left))
        if self._border != "constant":
            bordered: Pixels = np.pad(image, ((0, 0), *beside), self._border)
            return bordered
        values = self._pad_values or [0.0]
        if len(values) not in (1, channels):
            raise DataError(
                f"transform_param: resize_param: {len(values)} pad_values for images of {channels} "
                "channels; give one, or one a channel."
            )
        padded = np.empty((channels, rows, columns), np.uint8)
        padded[...] = np.rint(values).clip(0, 255).reshape(-1, 1, 1)
        padded[:, above : above + height, left : left + width] = image
        return padded


def _sides(param: ResizeParameter) -> range:
    """Return the lengths that multiscale chooses from; empty without it."""
    if not param.multiscale:
        return range(0)
    if not 0 < param.min_sz <= param.max_sz:
        raise DataError(
            f"transform_param: resize_param: min_sz: {param.min_sz} and max_sz: {param.max_sz} "
            "must ascend, above 0."
        )
    return range(param.min_sz, param.max_sz + 1)
