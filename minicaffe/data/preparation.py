"""Preparation of single images for a net: resizing, mean subtraction, scaling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minicaffe.data.augmentation.augmenter import Augmenter
from minicaffe.data.class_names import read_names
from minicaffe.data.image import Pixels, read_image
from minicaffe.data.image_form import ImageForm
from minicaffe.data.pixels.resizing import resize
from minicaffe.data.transformer import DataTransformer
from minicaffe.errors import DataError
from minicaffe.random import RandomStream
from minicaffe.schema.minicaffe_pb2 import TEST, TransformationParameter

Floats = npt.NDArray[np.float32]
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def prepare(path: str | Path, shape: Sequence[int], mean: Floats, scale: float = 1.0) -> Floats:
    """Read an image for an input of `shape` (channels, rows, columns).

    Returns
    -------
    ndarray of float32
        (value in 0 .. 255 - mean of its channel) * scale; blue, green, red; or grey.
    """
    channels, height, width = shape
    image = read_image(path, channels == 3, height, width).astype(np.float32)
    return (image - mean[:, None, None]) * np.float32(scale)


class ImagePreparation:
    """Makes of pixels the values that a data layer makes in the TEST phase.

    Images are resized to the form of the layer's own, and transformed by transform_param; they are
    not mirrored. Several threads may prepare images at once.

    Parameters
    ----------
    param : TransformationParameter
    form : ImageForm
        Also an attribute: how images have to be read.

    Raises
    ------
    DataError
        If the fields contradict each other or the mean file cannot be read.
    """

    def __init__(self, param: TransformationParameter, form: ImageForm) -> None:
        plain = TransformationParameter()
        plain.CopyFrom(param)
        plain.mirror = False
        self.form = form
        self._transformer = DataTransformer(plain, TEST)
        self._augment = Augmenter(plain, TEST)

    def __call__(self, image: Pixels, where: object) -> Floats:
        """Return the values of an image, float32, shape (channels, rows, columns).

        Parameters
        ----------
        image : ndarray of uint8, shape (channels, rows, columns)
            As convert_imageset reads images.
        where : object
            Its ``str`` names the image in errors.

        Raises
        ------
        DataError
            If it is smaller than the crop.
        """
        if self.form.rows:
            image = resize(image, self.form.rows, self.form.columns)
        generator = RandomStream(0, "preparation").generator()
        try:
            values: Floats = self._transformer([self._augment(image, generator)])[0]
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        return values


def is_image_name(name: str) -> bool:
    """Return whether a file has the extension of an image, and no hidden file's name."""
    return Path(name).suffix.lower() in _IMAGES and not name.startswith(".")


def find_images(paths: Sequence[str]) -> list[str]:
    """Return the files given, and the images in the folders given, sorted.

    Raises
    ------
    DataError
        If a folder holds no image.
    """
    found: list[str] = []
    for path in paths:
        if not Path(path).is_dir():
            found.append(path)
            continue
        inside = sorted(str(file) for file in Path(path).rglob("*") if is_image_name(file.name))
        if not inside:
            raise DataError(f"{path}: no image in this folder ({', '.join(_IMAGES)})")
        found += inside
    return found


def read_classes(path: str, n: int) -> list[str]:
    """Return the names of `n` classes, one a line of a file."""
    labels = read_names(path)
    if len(labels) != n:
        raise DataError(
            f"{path}: {len(labels)} labels, but the net tells {n} classes apart; give the name of "
            "each in a line of its own"
        )
    return labels
