"""Loading, resizing and cropping of images: float32 arrays, rows × columns × channels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from minicaffe.errors import DataError
from minicaffe.pycaffe.misuse import require_image, require_images, require_pair
from minicaffe.pycaffe.splines import interpolate

if TYPE_CHECKING:
    from PIL.Image import Image

Floats: TypeAlias = npt.NDArray[np.float32]
Dims: TypeAlias = Sequence[int] | npt.NDArray[np.int64]

# Luma weights of BT.709 as in scikit-image, which pycaffe uses for greyscale images.
_LUMA = np.array([0.2125, 0.7154, 0.0721])


def load_image(filename: str | os.PathLike[str], color: bool = True) -> Floats:
    """Read an image file.

    Parameters
    ----------
    filename : str or Path
        The file, in a format that Pillow reads.
    color : bool
        Whether to return three channels (RGB) or one (greyscale).

    Returns
    -------
    ndarray of float32
        Rows × columns × 3 or 1, in 0 .. 1.

    Raises
    ------
    OSError
        If the file does not exist or is not an image.
    DataError
        If it has too many pixels.

    Notes
    -----
    The image is turned by its EXIF orientation, as in `convert_imageset`, ImageData and
    `classification`, so that a net is used on images as it was trained on them. pycaffe did not
    turn it, because scikit-image does not.
    """
    from PIL import Image, ImageOps

    from minicaffe.data.image import decoding

    if isinstance(filename, np.ndarray):
        raise TypeError("load_image takes the name of a file, not an array")
    try:
        with Image.open(filename) as image, decoding(image, filename):
            values = _unit_range(ImageOps.exif_transpose(image))
    except (OSError, DataError):
        raise
    except Exception as error:  # Pillow's plugins raise errors of many types for damaged files
        raise OSError(f"{filename}: not an image that can be decoded: {error}") from error
    if values.ndim == 2:
        return np.repeat(values[:, :, np.newaxis], 3 if color else 1, axis=2)
    values = values[:, :, :3]
    return values if color else (values @ _LUMA).astype(np.float32)[:, :, np.newaxis]


def _unit_range(image: Image) -> Floats:
    """Return the values of a Pillow image in 0 .. 1; palette and CMYK images become RGB."""
    if image.mode == "F":
        return np.asarray(image, np.float32)
    if image.mode.startswith("I"):
        return (np.asarray(image) / 65535).astype(np.float32)
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
    return (np.asarray(image) / 255).astype(np.float32)


def resize_image(im: npt.ArrayLike, new_dims: Dims, interp_order: int = 1) -> Floats:
    """Resize an image, or any array with two leading spatial axes.

    Parameters
    ----------
    im : array_like
        Rows × columns × channels.
    new_dims : (int, int)
        New rows and columns.
    interp_order : int
        0 for nearest, 1 for linear interpolation, 2 to 5 for splines of this degree, as in SciPy.
        No low-pass filter is applied before shrinking.

    Returns
    -------
    ndarray of float32
        new rows × new columns × channels.

    Raises
    ------
    DataError
        If `interp_order` is another number.

    Notes
    -----
    As in pycaffe, arrays of 1 or 3 channels are resized as by scikit-image (pixels are squares,
    values beyond the border are the image's minimum), others as by SciPy's zoom (the centres of the
    corner pixels are aligned).
    """
    if interp_order not in range(6):
        raise DataError(
            f"interp_order: {interp_order} is not available; use 0 (nearest), 1 (linear) or 2 to 5 "
            "(splines)"
        )
    require_image(im, "resize_image(image, (rows, columns))")
    require_pair(new_dims, "resize_image(image, (rows, columns))")
    values = np.asarray(im, np.float32)
    is_image = values.shape[-1] in (1, 3)
    low = values.min() if values.size else np.float32(0)
    # Shifted so that the minimum is 0, the value of pixels beyond the border in _weighted.
    shifted = values - low
    for axis, size in enumerate(new_dims):
        shifted = _resize_axis(shifted, axis, int(size), interp_order, is_image)
    if interp_order > 1 and is_image:  # splines overshoot at edges; scikit-image clips them
        shifted = shifted.clip(0, values.max() - low)
    return shifted + low


def _resize_axis(values: Floats, axis: int, new: int, order: int, is_image: bool) -> Floats:
    old = values.shape[axis]
    if is_image:
        at = (np.arange(new) + 0.5) * (old / new) - 0.5
    else:
        at = np.arange(new) * ((old - 1) / max(new - 1, 1))
    if order == 0:
        nearest = np.clip(np.floor(at + 0.5).astype(int), 0, old - 1)
        taken: Floats = np.take(values, nearest, axis)
        return taken
    if order > 1:
        return interpolate(values, axis, at, order, beyond_border=0 if is_image else None)
    below = np.floor(at).astype(int)
    weight = (at - below).astype(np.float32)
    return _weighted(values, axis, below, 1 - weight) + _weighted(values, axis, below + 1, weight)


def _weighted(values: Floats, axis: int, index: npt.NDArray[np.int64], weight: Floats) -> Floats:
    """Return the slices at `index` times their weights; slices beyond the border are zero."""
    old = values.shape[axis]
    inside = (index >= 0) & (index < old)
    shape = [1] * values.ndim
    shape[axis] = -1
    picked: Floats = np.take(values, np.clip(index, 0, old - 1), axis)
    return picked * np.where(inside, weight, np.float32(0)).reshape(shape)


def oversample(images: Sequence[npt.ArrayLike], crop_dims: Dims) -> Floats:
    """Return ten crops of each image: four corners and the centre, then their mirror images.

    Parameters
    ----------
    images : sequence of ndarray
        Rows × columns × channels, all of one shape.
    crop_dims : (int, int)
        Rows and columns of a crop.

    Returns
    -------
    ndarray of float32
        (10 * n) × rows × columns × channels.

    Raises
    ------
    DataError
        If the images are smaller than the crops.
    """
    images = require_images(images, "oversample([image], (rows, columns))")
    require_pair(crop_dims, "oversample([image], (rows, columns))")
    rows, columns = (int(size) for size in crop_dims)
    stack = np.asarray(images, np.float32)
    height, width = stack.shape[1:3]
    if rows > height or columns > width:
        raise DataError(
            f"cannot crop {rows} x {columns} from images of {height} x {width}; resize the images"
        )
    corners = [(top, left) for top in (0, height - rows) for left in (0, width - columns)]
    corners.append((int(height / 2 - rows / 2), int(width / 2 - columns / 2)))
    crops = np.stack([stack[:, t : t + rows, x : x + columns] for t, x in corners], axis=1)
    both = np.concatenate([crops, crops[:, :, :, ::-1]], axis=1)
    return both.reshape(-1, *both.shape[2:])
