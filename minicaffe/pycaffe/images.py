"""Pictures as pycaffe's functions take them: float32 arrays, rows × columns × channels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from minicaffe.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Floats: TypeAlias = npt.NDArray[np.float32]
Dims: TypeAlias = Sequence[int] | npt.NDArray[np.integer[Any]]

# Luma of linear BT.709 as scikit-image weighs it, which pycaffe read grey pictures with.
_LUMA = np.array([0.2125, 0.7154, 0.0721])


def load_image(filename: str | os.PathLike[str], color: bool = True) -> Floats:
    """Read a picture.

    Parameters
    ----------
    filename : str or Path
        In any format that Pillow reads.
    color : bool
        Whether to return three channels (RGB) or one (grey).

    Returns
    -------
    ndarray of float32
        Rows × columns × 3 or 1, in 0 .. 1.

    Raises
    ------
    OSError
        If there is no such file, or it is no picture.
    """
    from PIL import Image

    with Image.open(filename) as picture:
        values = _unit_range(picture)
    if values.ndim == 2:
        return np.repeat(values[:, :, np.newaxis], 3 if color else 1, axis=2)
    values = values[:, :, :3]
    return values if color else (values @ _LUMA).astype(np.float32)[:, :, np.newaxis]


def _unit_range(picture: Image) -> Floats:
    """Return the values of a Pillow image in 0 .. 1; palettes and inks become RGB."""
    if picture.mode == "F":
        return np.asarray(picture, np.float32)
    if picture.mode.startswith("I"):
        return (np.asarray(picture) / 65535).astype(np.float32)
    if picture.mode not in ("L", "RGB", "RGBA"):
        picture = picture.convert("L" if picture.mode in ("1", "LA") else "RGB")
    return (np.asarray(picture) / 255).astype(np.float32)


def resize_image(im: npt.ArrayLike, new_dims: Dims, interp_order: int = 1) -> Floats:
    """Resize a picture, or any array with two leading spatial axes.

    Parameters
    ----------
    im : array_like
        Rows × columns × channels.
    new_dims : (int, int)
        Rows and columns wanted.
    interp_order : int
        0 takes the nearest value, 1 interpolates linearly. Nothing is smoothed before shrinking.

    Returns
    -------
    ndarray of float32
        new rows × new columns × channels.

    Raises
    ------
    DataError
        If `interp_order` is another one.

    Notes
    -----
    pycaffe resized arrays of 1 or 3 channels with scikit-image, where pixels are squares and
    what lies beyond the border counts as the picture's minimum; and others with SciPy's zoom, where
    the centres of the corner pixels stay in the corners. So does this.
    """
    if interp_order not in (0, 1):
        raise DataError(
            f"interp_order: {interp_order} is not available; use 0 (nearest) or 1 (linear)"
        )
    values = np.asarray(im, np.float32)
    squares = values.shape[-1] in (1, 3)
    low = values.min() if values.size else np.float32(0)
    # Interpolating what lies above the minimum makes the minimum what zeros stand for.
    above = values - low
    for axis, size in enumerate(new_dims):
        above = _resize_axis(above, axis, int(size), interp_order, squares)
    return above + low


def _resize_axis(values: Floats, axis: int, new: int, order: int, squares: bool) -> Floats:
    old = values.shape[axis]
    if squares:
        at = (np.arange(new) + 0.5) * (old / new) - 0.5
    else:
        at = np.arange(new) * ((old - 1) / max(new - 1, 1))
    if order == 0:
        nearest = np.clip(np.floor(at + 0.5).astype(int), 0, old - 1)
        taken: Floats = np.take(values, nearest, axis)
        return taken
    below = np.floor(at).astype(int)
    weight = (at - below).astype(np.float32)
    return _weighted(values, axis, below, 1 - weight) + _weighted(values, axis, below + 1, weight)


def _weighted(values: Floats, axis: int, index: npt.NDArray[Any], weight: Floats) -> Floats:
    """Return the slices at `index` times their weights; slices beyond the border are zero."""
    old = values.shape[axis]
    inside = (index >= 0) & (index < old)
    shape = [1] * values.ndim
    shape[axis] = -1
    picked: Floats = np.take(values, np.clip(index, 0, old - 1), axis)
    return picked * np.where(inside, weight, np.float32(0)).reshape(shape)


def oversample(images: Sequence[Any], crop_dims: Dims) -> Floats:
    """Cut ten pictures from each: four corners and the centre, then their mirror images.

    Parameters
    ----------
    images : sequence of ndarray
        Rows × columns × channels, all of one shape.
    crop_dims : (int, int)
        Rows and columns of what is cut out.

    Returns
    -------
    ndarray of float32
        (10 * n) × rows × columns × channels.

    Raises
    ------
    DataError
        If the pictures are smaller than the crops.
    """
    rows, columns = (int(size) for size in crop_dims)
    stack = np.asarray(images, np.float32)
    height, width = stack.shape[1:3]
    if rows > height or columns > width:
        raise DataError(
            f"cannot cut {rows} x {columns} out of pictures of {height} x {width}; resize them"
        )
    corners = [(top, left) for top in (0, height - rows) for left in (0, width - columns)]
    corners.append((int(height / 2 - rows / 2), int(width / 2 - columns / 2)))
    crops = np.stack([stack[:, t : t + rows, x : x + columns] for t, x in corners], axis=1)
    both = np.concatenate([crops, crops[:, :, :, ::-1]], axis=1)
    return both.reshape(-1, *both.shape[2:])
