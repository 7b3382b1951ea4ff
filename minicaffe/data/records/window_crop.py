"""Cropping of windows: boxes are cut out of images and warped to the input size of a net.

Girshick et al., "Rich feature hierarchies for accurate object detection and semantic segmentation",
CVPR 2014, appendix A: the box is widened so that, once warped, it has `context_pad` pixels of its
surroundings on each side; the part outside the image is empty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.image import Pixels
from minicaffe.data.pixels.resizing import resize
from minicaffe.data.transformer import DataTransformer
from minicaffe.errors import DataError
from minicaffe.schema.minicaffe_pb2 import TEST, TransformationParameter

Floats = NDArray[np.float32]


class CropBox(NamedTuple):
    """First and last pixel of a box, from 0."""

    x1: int
    y1: int
    x2: int
    y2: int


class Patch(NamedTuple):
    """A warped part of an image, and its position in the net's input."""

    pixels: Pixels
    top: int
    left: int


class _Span(NamedTuple):
    """A box along one axis: the range of the image, and the range of the result."""

    first: int
    size: int
    target: int
    target_size: int
    # Empty pixels of the target after it.
    after: int


@dataclass(frozen=True)
class Cropper:
    """Crops boxes.

    Parameters
    ----------
    size : int
        Rows and columns of the result.
    context_pad : int
        Pixels of surroundings on each side, counted in the result.
    square : bool
        Widen the shorter side of the box to the longer one first, rather than stretch it.
    """

    size: int
    context_pad: int = 0
    square: bool = False

    def __call__(self, image: Pixels, box: CropBox, mirror: bool) -> Patch:
        """Crop a box.

        Parameters
        ----------
        image : ndarray, uint8, shape (channels, rows, columns)
            Read only.
        box : CropBox
            Without context and square it must lie inside the image.
        mirror : bool
            Whether to mirror it left to right.

        Raises
        ------
        DataError
            If the box lies outside the image.
        """
        _, rows, columns = image.shape
        if self.context_pad or self.square:
            box = self._widened(box)
            inside = box.x1 < columns and box.y1 < rows and box.x2 >= 0 and box.y2 >= 0
        else:
            inside = box.x1 >= 0 and box.y1 >= 0 and box.x2 < columns and box.y2 < rows
        if not inside:
            raise DataError(
                f"the window {' '.join(map(str, box))} (x1 y1 x2 y2) lies outside the image of "
                f"{rows} x {columns} (rows x columns)"
            )
        across = self._span(box.x1, box.x2, columns)
        down = self._span(box.y1, box.y2, rows)
        left = across.after if mirror else across.target
        # Rounding may make it stick out.
        height = min(down.target_size, self.size - down.target)
        width = min(across.target_size, self.size - left)
        piece = image[:, down.first : down.first + down.size]
        piece = piece[:, :, across.first : across.first + across.size]
        piece = resize(piece, height, width) if height and width else piece[:, :height, :width]
        return Patch(piece[:, :, ::-1] if mirror else piece, down.target, left)

    def _widened(self, box: CropBox) -> CropBox:
        # In float32 as Caffe computes it: borders are rounded, and halves are frequent.
        scale = np.float32(self.size) / np.float32(self.size - 2 * self.context_pad)
        half_width = np.float32(box.x2 - box.x1 + 1) / np.float32(2)
        half_height = np.float32(box.y2 - box.y1 + 1) / np.float32(2)
        x, y = np.float32(box.x1) + half_width, np.float32(box.y1) + half_height
        if self.square:
            half_width = half_height = max(half_width, half_height)
        half_width, half_height = half_width * scale, half_height * scale
        return CropBox(
            _round(x - half_width),
            _round(y - half_height),
            _round(x + half_width),
            _round(y + half_height),
        )

    def _span(self, first: int, last: int, limit: int) -> _Span:
        before, after = max(0, -first), max(0, last - limit + 1)
        whole, taken = last - first + 1, last - first + 1 - before - after
        scale = np.float32(self.size) / np.float32(whole)
        target, size, empty = (_round(np.float32(n) * scale) for n in (before, taken, after))
        return _Span(first + before, taken, target, size, empty)


def _round(x: np.float32) -> int:
    """Round halves away from zero, as C does."""
    return int(math.copysign(math.floor(abs(float(x)) + 0.5), x))


class WindowTransformer(DataTransformer):
    """Cuts windows out of images, subtracts the mean and scales; empty parts stay 0.

    Parameters
    ----------
    param : TransformationParameter
        mean_file, mean_value, scale and mirror are used.
    cropper : Cropper

    Attributes
    ----------
    mirror : bool
        Whether half of the windows are to be mirrored.
    shape : tuple of int
        Channels, rows and columns of the result.
    """

    def __init__(self, param: TransformationParameter, cropper: Cropper) -> None:
        plain = TransformationParameter(
            mean_file=param.mean_file, mean_value=param.mean_value, scale=param.scale
        )
        super().__init__(plain, TEST)
        self.mirror, self._cut = bool(param.mirror), cropper
        self.shape = 3, cropper.size, cropper.size
        if self._mean is not None:
            self._mean = self._middle(self._mean)
        self.output_shape(self.shape)

    def window(self, image: Pixels, box: CropBox, mirror: bool) -> Floats:
        """Return the part of an image inside `box`, transformed, float32, of `shape`.

        Raises
        ------
        DataError
            If the box lies outside of the image.
        """
        patch = self._cut(image, box, mirror)
        rows = slice(patch.top, patch.top + patch.pixels.shape[1])
        columns = slice(patch.left, patch.left + patch.pixels.shape[2])
        mean = self._mean[:, rows, columns] if self._mean is not None else None
        window = np.zeros(self.shape, np.float32)
        window[:, rows, columns] = self._arithmetic(patch.pixels, mean)
        return window

    def _middle(self, mean: Floats) -> Floats:
        # Caffe takes the middle of the columns for the rows as well.
        size = self.shape[1]
        first = max((mean.shape[2] - size) // 2, 0)
        middle = mean[:, first : first + size, first : first + size]
        if middle.shape != self.shape:
            raise DataError(
                f"mean_file {self._mean_file}: the mean is {' x '.join(map(str, mean.shape))} "
                "(channels x rows x columns); it must hold a crop of "
                f"{' x '.join(map(str, self.shape))}. Use one mean_value a channel."
            )
        return middle
