"""The transformation of windows: cut out, warped, less the mean, scaled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.image import Pixels
from minicaffe.data.records.window_crop import CropBox, Cropper
from minicaffe.data.transformer import DataTransformer
from minicaffe.errors import DataError
from minicaffe.schema.minicaffe_pb2 import TEST, TransformationParameter

Floats = NDArray[np.float32]


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
