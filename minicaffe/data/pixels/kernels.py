"""Loops over pixels in C, which release the interpreter lock; NumPy where they are not compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.native.library import NativeFunction, narrow_library

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


class CropWindow(NamedTuple):
    """The crop of one image.

    Parameters
    ----------
    top, left : int
        Its first row and column.
    mirror : bool
        Whether it is turned left to right.
    """

    top: int
    left: int
    mirror: bool


class Taps(NamedTuple):
    """What the rows or columns of a resized image are made of.

    Parameters
    ----------
    indices : ndarray, int32, shape (n, 2)
        The two rows or columns of the source, consecutive or equal. Columns are equal only if the
        source has one.
    weights : ndarray, int16, shape (n, 2)
        Their weights, of 11 bits.
    """

    indices: NDArray[np.int32]
    weights: NDArray[np.int16]


def c_function(name: str) -> NativeFunction | None:
    """Return a function of pixels.c; None if it was not compiled for this machine."""
    library = narrow_library()
    return None if library is None else library.lookup(name)


def planes_of_bgr(pixels: Pixels) -> Pixels:
    """Return the planes of pixels, (channels, rows, columns), given (rows, columns, channels).

    Blue, green, red as a view of red, green, blue takes the fast way.
    """
    rgb = pixels[:, :, ::-1]
    function = c_function("planes_of_rgb")
    if function is None or pixels.shape[2] != 3 or not rgb.flags.c_contiguous:
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))
    rows, columns, _ = pixels.shape
    planes = np.empty((3, rows, columns), np.uint8)
    function(rgb.ctypes.data, 3, planes.ctypes.data, rows * columns)
    return planes


def resized_planes(image: Pixels, rows: Taps, columns: Taps) -> Pixels:
    """Return an image resized bilinearly; see `minicaffe.data.pixels.resizing.resize`.

    Parameters
    ----------
    image : ndarray, uint8, shape (channels, old rows, old columns)
    rows, columns : Taps
    """
    function = c_function("resize_planes")
    if function is None:
        return _resized(image, rows, columns)
    image = np.ascontiguousarray(image)
    size = len(rows.indices), len(columns.indices)
    resized = np.empty((len(image), *size), np.uint8)
    sums = np.empty((2, size[1]), np.uint16)
    taps = (*columns, *rows, sums)
    function(
        *(image.ctypes.data, *image.shape, resized.ctypes.data, *size),
        *(array.ctypes.data for array in taps),
    )
    return resized


def _resized(image: Pixels, rows: Taps, columns: Taps) -> Pixels:
    needed, upper_lower = np.unique(rows.indices, return_inverse=True)
    source = image[:, needed].astype(np.int32)
    left, right = source[:, :, columns.indices[:, 0]], source[:, :, columns.indices[:, 1]]
    across = (left * columns.weights[:, 0] + right * columns.weights[:, 1]) >> 4
    pairs = upper_lower.reshape(rows.indices.shape)
    upper = across[:, pairs[:, 0]] * rows.weights[:, 0, None] >> 16
    lower = across[:, pairs[:, 1]] * rows.weights[:, 1, None] >> 16
    return ((upper + lower + 2) >> 2).astype(np.uint8)


def transformed_windows(
    images: Sequence[Pixels],
    windows: Sequence[CropWindow],
    values: Floats,
    mean: Floats,
    scale: float,
) -> bool:
    """Cut out, mirror, subtract the mean and scale, if the loops in C are there.

    Parameters
    ----------
    images : sequence of ndarray, uint8, each (channels, rows, columns)
    windows : sequence of CropWindow
        One for each image, inside it.
    values : ndarray, float32, shape (n, channels, window rows, window columns)
        Overwritten.
    mean : ndarray, float32, shape (channels, 1, 1) or that of the images
    scale : float

    Returns
    -------
    bool
        Whether `values` were written.
    """
    function = c_function("transform_window")
    if function is None:
        return False
    mean = np.ascontiguousarray(mean, np.float32)
    for image, window, target in zip(images, windows, values, strict=True):
        plain = np.ascontiguousarray(image)
        function(
            *(plain.ctypes.data, *image.shape, *window),
            *(mean.ctypes.data, mean.shape[1:] != (1, 1), scale),
            *(target.ctypes.data, *target.shape[1:]),
        )
    return True
