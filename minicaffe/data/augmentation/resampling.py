"""Resizing with each of OpenCV's interpolations."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.image import Pixels, resize, resize_nearest

Weights = NDArray[np.float32]

_WEIGHT_UNIT = 1 << 11
_A = -0.75  # OpenCV's constant of the cubic kernel


class Interpolation(Enum):
    """How values between pixels are found."""

    NEAREST = "nearest"
    LINEAR = "linear"
    CUBIC = "cubic"
    AREA = "area"
    LANCZOS4 = "lanczos4"


def resample(image: Pixels, height: int, width: int, interpolation: Interpolation) -> Pixels:
    """Resize an image as OpenCV's ``resize`` does, up to rounding.

    Only AREA averages over the pixels that a smaller image merges.

    Parameters
    ----------
    image : ndarray, uint8, shape (channels, rows, columns)
    height, width : int
        The new size, pixels.
    interpolation : Interpolation
    """
    _, old_height, old_width = image.shape
    if (old_height, old_width) == (height, width):
        return image
    if interpolation is Interpolation.NEAREST:
        return resize_nearest(image, height, width)
    if interpolation is Interpolation.LINEAR:
        return resize(image, height, width)
    weights = _KERNELS[interpolation]
    if interpolation is Interpolation.AREA and (height > old_height or width > old_width):
        weights = _sharp
    resized = weights(old_height, height) @ image.astype(np.float32) @ weights(old_width, width).T
    pixels: Pixels = np.rint(resized).clip(0, 255).astype(np.uint8)
    return pixels


def _area(old: int, new: int) -> Weights:
    """Return the share of each old pixel in each new one, shape (new, old)."""
    scale = old / new
    begins = np.arange(new)[:, None] * scale
    pixels = np.arange(old)
    shares = np.minimum(begins + scale, pixels + 1) - np.maximum(begins, pixels)
    weights: Weights = (shares.clip(0) / scale).astype(np.float32)
    return weights


def _sharp(old: int, new: int) -> Weights:
    """Return the weights of AREA for a larger image: it blends only where an old pixel ends."""
    first = np.floor(np.arange(new) * (1.0 / (new / old)))  # in this order, as OpenCV
    fraction = np.arange(1, new + 1) - (first + 1) * (new / old)
    fraction = np.where(fraction <= 0, 0, fraction - np.floor(fraction))
    taps = first.astype(np.intp)[:, None] + np.arange(2)
    return _matrix(np.stack([1 - fraction, fraction], axis=1), taps, old)


def _cubic(old: int, new: int) -> Weights:
    distance, taps = _taps(old, new, 2)
    x = np.abs(distance)
    near = ((_A + 2) * x - (_A + 3)) * x * x + 1
    far = ((_A * x - 5 * _A) * x + 8 * _A) * x - 4 * _A
    return _matrix(np.where(x <= 1, near, far), taps, old)


def _lanczos4(old: int, new: int) -> Weights:
    distance, taps = _taps(old, new, 4)
    weights = np.sinc(distance) * np.sinc(distance / 4)
    return _matrix(weights / weights.sum(axis=1, keepdims=True), taps, old)


_KERNELS = {
    Interpolation.AREA: _area,
    Interpolation.CUBIC: _cubic,
    Interpolation.LANCZOS4: _lanczos4,
}


def _taps(old: int, new: int, reach: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return distances and indices of the 2 * reach old pixels around each new one."""
    at = (np.arange(new) + 0.5) * (old / new) - 0.5
    taps = np.floor(at).astype(np.intp)[:, None] + np.arange(1 - reach, reach + 1)
    return at[:, None] - taps, taps


def _matrix(weights: NDArray[np.float64], taps: NDArray[np.intp], old: int) -> Weights:
    """Return weights of taps as a matrix (new, old); taps outside take the pixel at the edge.

    The weights have 11 bits, as OpenCV's for bytes.
    """
    weights = np.rint(weights * _WEIGHT_UNIT) / _WEIGHT_UNIT
    matrix = np.zeros((len(taps), old), np.float32)
    rows = np.broadcast_to(np.arange(len(taps))[:, None], taps.shape)
    np.add.at(matrix, (rows, taps.clip(0, old - 1)), weights.astype(np.float32))
    return matrix
