"""Contrast limited adaptive histogram equalization (CLAHE), as OpenCV computes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.image import Pixels

Values = NDArray[np.float32]

_TILES = 8  # along both axes
_CLIP_LIMIT = 4  # times the mean of a histogram


def clahe(grey: Pixels) -> Values:
    """Return grey values that are spread within each of 8 x 8 tiles, blended between their centers.

    Parameters
    ----------
    grey : ndarray, uint8, shape (rows, columns)

    Returns
    -------
    ndarray, float32, shape (rows, columns)
        0 to 255, not rounded.

    References
    ----------
    Zuiderveld, "Contrast limited adaptive histogram equalization", 1994.
    """
    height, width = grey.shape
    rows, columns = -(-height // _TILES), -(-width // _TILES)
    padded = np.pad(
        grey, ((0, rows * _TILES - height), (0, columns * _TILES - width)), mode="reflect"
    )
    tiles = padded.reshape(_TILES, rows, _TILES, columns).swapaxes(1, 2)
    levels = np.array([[_levels(tile) for tile in line] for line in tiles])
    above, below, down = _neighbours(height, rows)
    left, right, across = _neighbours(width, columns)
    upper = _blend(levels[above[:, None], left, grey], levels[above[:, None], right, grey], across)
    lower = _blend(levels[below[:, None], left, grey], levels[below[:, None], right, grey], across)
    return _blend(upper, lower, down[:, None])


def _levels(tile: Pixels) -> Values:
    """Return the new value of each grey value in a tile, (256,)."""
    counts = np.bincount(tile.ravel(), minlength=256)
    limit = max(_CLIP_LIMIT * tile.size // 256, 1)
    excess = int((counts - limit).clip(0).sum())
    counts = counts.clip(None, limit) + excess // 256
    rest = excess % 256
    if rest:
        counts[: rest * max(256 // rest, 1) : max(256 // rest, 1)] += 1
    levels: Values = np.rint(counts.cumsum() * np.float32(255 / tile.size)).clip(0, 255)
    return levels.astype(np.float32)


def _neighbours(n: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Values]:
    """Return the tiles before and behind each of n pixels, and the weight of the latter."""
    at = np.arange(n) / np.float32(size) - 0.5
    first = np.floor(at)
    low = first.astype(np.intp)
    return low.clip(0), (low + 1).clip(None, _TILES - 1), (at - first).astype(np.float32)


def _blend(a: Values, b: Values, share: Values) -> Values:
    blended: Values = a * (1 - share) + b * share
    return blended
