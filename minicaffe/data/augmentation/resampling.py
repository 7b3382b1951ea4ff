"""Resizing with each of OpenCV's interpolations."""

from __future__ import annotations

import functools
import math
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.image import Pixels
from minicaffe.data.pixels.resizing import resize, resize_nearest

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
    rule = _KERNELS[interpolation]
    if interpolation is Interpolation.AREA and (height > old_height or width > old_width):
        rule = _sharp
    narrowed = _weighted_sums(image, rule(old_height, height), axis=1)
    resized = _weighted_sums(narrowed, rule(old_width, width), axis=2)
    pixels: Pixels = np.rint(resized).clip(0, 255).astype(np.uint8)
    return pixels


class _Taps(NamedTuple):
    """The old pixels that each new one is a sum of: indices and weights, both (new, taps)."""

    indices: NDArray[np.intp]
    weights: Weights


def _weighted_sums(values: Pixels | Weights, taps: _Taps, axis: int) -> Weights:
    """Return new pixels along an axis of (channels, rows, columns)."""
    shape = [1, 1, 1]
    shape[axis] = -1
    pairs = zip(taps.indices.T, taps.weights.T, strict=True)
    terms = (values.take(index, axis) * weight.reshape(shape) for index, weight in pairs)
    total: Weights = functools.reduce(np.add, terms)
    return total


def _area(old: int, new: int) -> _Taps:
    """Return the share of each old pixel in each new one."""
    scale = old / new
    begins = np.arange(new)[:, None] * scale
    indices = begins.astype(np.intp) + np.arange(math.ceil(scale) + 1)
    shares = np.minimum(begins + scale, indices + 1) - np.maximum(begins, indices)
    return _Taps(indices.clip(0, old - 1), (shares.clip(0) / scale).astype(np.float32))


def _sharp(old: int, new: int) -> _Taps:
    """Return the weights of AREA for a larger image: it blends only where an old pixel ends."""
    first = np.floor(np.arange(new) * (1.0 / (new / old)))  # in this order, as OpenCV
    fraction = np.arange(1, new + 1) - (first + 1) * (new / old)
    fraction = np.where(fraction <= 0, 0, fraction - np.floor(fraction))
    indices = first.astype(np.intp)[:, None] + np.arange(2)
    return _rounded(np.stack([1 - fraction, fraction], axis=1), indices, old)


def _cubic(old: int, new: int) -> _Taps:
    distance, indices = _around(old, new, 2)
    x = np.abs(distance)
    near = ((_A + 2) * x - (_A + 3)) * x * x + 1
    far = ((_A * x - 5 * _A) * x + 8 * _A) * x - 4 * _A
    return _rounded(np.where(x <= 1, near, far), indices, old)


def _lanczos4(old: int, new: int) -> _Taps:
    distance, indices = _around(old, new, 4)
    weights = np.sinc(distance) * np.sinc(distance / 4)
    return _rounded(weights / weights.sum(axis=1, keepdims=True), indices, old)


_KERNELS = {
    Interpolation.AREA: _area,
    Interpolation.CUBIC: _cubic,
    Interpolation.LANCZOS4: _lanczos4,
}


def _around(old: int, new: int, reach: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return distances and indices of the 2 * reach old pixels around each new one."""
    at = (np.arange(new) + 0.5) * (old / new) - 0.5
    indices = np.floor(at).astype(np.intp)[:, None] + np.arange(1 - reach, reach + 1)
    return at[:, None] - indices, indices


def _rounded(weights: NDArray[np.float64], indices: NDArray[np.intp], old: int) -> _Taps:
    """Return taps with weights of 11 bits, as OpenCV's; the edge stands for what is outside."""
    rounded: Weights = (np.rint(weights * _WEIGHT_UNIT) / _WEIGHT_UNIT).astype(np.float32)
    return _Taps(indices.clip(0, old - 1), rounded)
