"""Resizing of images with OpenCV's rules, to the bit."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from minicaffe.data.pixels.kernels import Pixels, Taps, resized_planes

_COEFFICIENT_BITS = 11  # of OpenCV's weights: INTER_RESIZE_COEF_BITS
_MOST_TAPS = 256  # sizes whose taps are kept


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Resize as OpenCV's ``resize`` with INTER_LINEAR does, to the bit.

    Weights have 11 bits; sums are cut to 16 bits between the passes, rounded at the end. Halving
    both sides exactly averages four pixels each.

    Parameters
    ----------
    image : ndarray, uint8, shape (channels, rows, columns)
    height, width : int
        The new size, pixels.
    """
    _, *old = image.shape
    if old == [height, width]:
        return image
    if _are_halves(old, (height, width)):
        wide = image.astype(np.uint16)
        quads = wide[:, ::2, ::2] + wide[:, 1::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, 1::2]
        return ((quads + 2) >> 2).astype(np.uint8)
    return resized_planes(image, _row_taps(old[0], height), _column_taps(old[1], width))


def bilinear_taps(old: tuple[int, int], new: tuple[int, int]) -> tuple[Taps, Taps] | None:
    """Return the taps of rows and columns with which `resize` resizes images of several columns.

    Parameters
    ----------
    old, new : tuple of int
        Rows and columns before and after.

    Returns
    -------
    tuple of Taps, or None
        None if it computes otherwise, or if the image has one column.
    """
    if old == new or _are_halves(old, new) or old[1] == 1:
        return None
    return _row_taps(old[0], new[0]), _column_taps(old[1], new[1])


def _are_halves(old: Sequence[int], new: Sequence[int]) -> bool:
    return [*old] == [2 * side for side in new]


def resize_by_sides(image: Pixels, short: int, longest: int) -> tuple[float, Pixels]:
    """Resize to a length of the short side, less if the long side would exceed another length.

    Returns
    -------
    float
        The factor of the lengths before they are rounded to pixels.
    ndarray, uint8, shape (channels, new rows, new columns)
    """
    rows, columns = image.shape[1:]
    scale = scale_by_sides((rows, columns), short, longest)
    return scale, resize(image, max(round(rows * scale), 1), max(round(columns * scale), 1))


def scale_by_sides(size: tuple[int, int], short: int, longest: int) -> float:
    """Return the factor with which `resize_by_sides` resizes an image of some rows and columns."""
    return min(short / min(size), longest / max(size))


@functools.lru_cache(_MOST_TAPS)
def _row_taps(old: int, new: int) -> Taps:
    """Return the taps of rows: one at an edge keeps its two weights, both on the row there."""
    taps = _taps(old, new)
    return Taps(taps.indices.clip(0, old - 1), taps.weights)


@functools.lru_cache(_MOST_TAPS)
def _column_taps(old: int, new: int) -> Taps:
    """Return the taps of columns: one at an edge takes the column there alone.

    This rounds differently from what rows do.
    """
    indices, weights = _taps(old, new)
    whole = 1 << _COEFFICIENT_BITS
    weights[indices[:, 0] < 0] = whole, 0
    weights[indices[:, 0] >= old - 1] = 0, whole
    first = indices[:, 0].clip(0, max(old - 2, 0))
    return Taps(np.stack([first, (first + 1).clip(0, old - 1)], axis=1), weights)


def _taps(old: int, new: int) -> Taps:
    """Return the taps of `new` rows or columns; their indices may be outside of the old ones."""
    scale = 1.0 / (new / old)  # in this order, for the same last bit as OpenCV
    at = ((np.arange(new) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(at)
    fraction = at - first
    weights = np.stack([np.float32(1) - fraction, fraction], axis=1) * (1 << _COEFFICIENT_BITS)
    low = first.astype(np.int32)
    return Taps(np.stack([low, low + 1], axis=1), np.rint(weights).astype(np.int16))


def resize_nearest(image: Pixels, height: int, width: int) -> Pixels:
    """Resize as OpenCV's ``resize`` with INTER_NEAREST does.

    Parameters
    ----------
    image : ndarray, uint8, shape (channels, rows, columns)
    height, width : int
        The new size, pixels.
    """
    rows, columns = (
        np.minimum((np.arange(new) * (1.0 / (new / old))).astype(np.intp), old - 1)
        for new, old in ((height, image.shape[1]), (width, image.shape[2]))
    )
    return image[:, rows[:, None], columns]
