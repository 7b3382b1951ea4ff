"""Image decoding, encoding and resizing with OpenCV's conventions, by Pillow and NumPy.

Caffe reads images with OpenCV, so that databases, means and trained weights carry OpenCV's
habits: blue-green-red order, its bilinear rule in fixed-point numbers, its ways to drop an alpha
channel, to mix grey, and to turn images by their EXIF orientation. This module repeats them.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from minicaffe.errors import DataError
from minicaffe.path_hints import one_line, path_form_hint

Pixels = NDArray[np.uint8]

PIXELS_VARIABLE = "MINICAFFE_MAX_IMAGE_PIXELS"
# Decoding takes up to 25 bytes a pixel (WebP). Pillow's own limit, which programs may set, is about
# three times as high.
_MOST_PIXELS, _PILLOW_DEFAULT = 1 << 26, (1 << 30) // 12
_LARGE_PIXELS = 1 << 24
_large_images = threading.Lock()
# Their 16-bit values have mode "I" in some versions of Pillow.
_FORMATS_OF_16_BITS = ("PNG", "PPM", "JPEG2000", None)

_COEFFICIENT_BITS = 11  # of OpenCV's weights in resize: INTER_RESIZE_COEF_BITS


def read_image(path: str | Path, color: bool = True, height: int = 0, width: int = 0) -> Pixels:
    """Read an image file, resized if `height` and `width` are given.

    Returns
    -------
    ndarray, uint8, shape (3 or 1, rows, columns)
        Blue, green, red; or grey.

    Raises
    ------
    DataError
        If there is no such file or it is not an image.
    """
    image = decode_image(image_content(path), color, str(path))
    return resize(image, height, width) if height and width else image


def read_label_image(path: str | Path, height: int = 0, width: int = 0) -> Pixels:
    """Read an image file whose pixels are labels, resized to the nearest pixels if asked for.

    The labels are grey values or, in a file with a palette, the indices of the colours: that is
    how PASCAL VOC stores them. OpenCV, and so Caffe's forks, would read the colours' grey values.

    Returns
    -------
    ndarray, uint8, shape (1, rows, columns)

    Raises
    ------
    DataError
        If there is no such file or it is not an image.
    """
    labels = _decode(image_content(path), str(path), partial(_labels, where=str(path)))
    return resize_nearest(labels, height, width) if height and width else labels


def image_content(path: str | Path) -> bytes:
    """Return the content of an image file.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte, or not in the locale
        reason = getattr(error, "strerror", None) or error
        hint = path_form_hint(path)
        raise DataError(f"{one_line(path)}: the image cannot be read: {reason}.{hint}") from error


def decode_image(content: bytes, color: bool | None, where: object) -> Pixels:
    """Decode the content of an image file.

    Parameters
    ----------
    content : bytes
        JPEG, PNG, BMP or another format that Pillow reads.
    color : bool or None
        True: blue, green, red. False: grey. None: 1, 3 or, with transparency, 4 channels as the
        file has them, not turned by EXIF (as OpenCV's IMREAD_UNCHANGED).
    where : object
        Its ``str`` names file, or database and key, in errors.

    Returns
    -------
    ndarray, uint8, shape (channels, rows, columns)
    """
    return _decode(content, where, partial(_pixels, color=color))


def image_pixels(image: bytes | Pixels, color: bool, where: object) -> Pixels:
    """Return the pixels of an image in colour, or in grey.

    Parameters
    ----------
    image : bytes or ndarray of uint8
        The content of a file; or pixels, (3 or 1, rows, columns), blue, green, red, or grey.
    color : bool
    where : object
        Its ``str`` names the image in errors.

    Returns
    -------
    ndarray, uint8, shape (3 or 1, rows, columns)
    """
    if isinstance(image, bytes):
        return decode_image(image, color, where)
    if len(image) == (3 if color else 1):
        return image
    return np.repeat(image, 3, axis=0) if color else _mixed(image[::-1])[None]


def _decode(content: bytes, where: object, convert: Callable[[Image.Image], Pixels]) -> Pixels:
    """Decode an image file; `convert` returns pixels, shape (rows, columns, channels)."""
    if not content:
        raise DataError(f"{where}: the image is empty (0 bytes).")
    try:
        with Image.open(io.BytesIO(content)) as image, decoding(image, where):
            _check_values(image, where)
            pixels = convert(image)
    except DataError:
        raise
    except Exception as error:  # Pillow's plugins raise errors of many types for damaged files
        # Pillow's message names a BytesIO object, which means nothing to the user.
        reason = "no known format" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(
            f"{where}: not an image that can be decoded ({len(content)} bytes): {reason}. "
            "Is the file complete?"
        ) from error
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def is_turned_by_exif(content: bytes) -> bool:
    """Return whether the content of an image file has an EXIF orientation that turns it."""
    with Image.open(io.BytesIO(content)) as image:
        return bool(image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1))


@contextmanager
def decoding(image: Image.Image, where: object) -> Iterator[None]:
    """Allow the decoding of an opened image in the block; of large images, one at a time.

    Raises
    ------
    DataError
        If it has too many pixels: a file of some bytes can unpack to more than the memory.
    """
    width, height = image.size
    limit = _pixel_limit()
    if limit is not None and width * height > limit:
        raise DataError(
            f"{where}: the image has {width} x {height} pixels; at most {limit:,} are read. Make "
            f"it smaller, or set the environment variable {PIXELS_VARIABLE}."
        )
    with _large_images if width * height > _LARGE_PIXELS else nullcontext():
        yield


def _pixel_limit() -> int | None:
    """Return the number of pixels that an image may have; None without a limit."""
    text = os.environ.get(PIXELS_VARIABLE, "")
    if text.isdecimal():
        return int(text)
    chosen = Image.MAX_IMAGE_PIXELS
    return _MOST_PIXELS if chosen == _PILLOW_DEFAULT else chosen


def _check_values(image: Image.Image, where: object) -> None:
    """Refuse images whose values would all become 0 or 255: OpenCV does not read them either."""
    is_wide = image.mode == "I" and image.format not in _FORMATS_OF_16_BITS
    if image.mode == "F" or is_wide:
        kind = "32-bit floats" if image.mode == "F" else "32-bit or signed integers"
        raise DataError(
            f"{where}: the image has values of {kind}, which do not fit into bytes. Scale them to "
            "0..255 and save 8 bits, or store them with HDF5Data."
        )


def _pixels(image: Image.Image, color: bool | None) -> Pixels:
    """Return pixels, shape (rows, columns, channels)."""
    if color is False and image.format == "JPEG" and image.mode == "RGB":
        image.draft("L", None)  # the luma as stored, which is what OpenCV takes
    if color is None:
        return _native(image)
    turned = ImageOps.exif_transpose(image)
    return _bgr(turned) if color else _grey(turned, mixed_by_libpng=image.format == "PNG")


def _labels(image: Image.Image, where: str) -> Pixels:
    if image.format == "JPEG":
        raise DataError(
            f"{where}: a JPEG file changes the values of pixels, so that they are no labels any "
            "more. Store the labels as PNG."
        )
    return np.asarray(image)[:, :, None] if image.mode == "P" else _pixels(image, color=False)


def _native(image: Image.Image) -> Pixels:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba: Pixels = np.asarray(image.convert("RGBA"))
        return rgba[:, :, [2, 1, 0, 3]]
    if image.mode == "1" or image.mode.startswith(("L", "I")):
        return _grey(image)
    return _bgr(image)


def _bgr(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):
        return np.repeat(_grey(image), 3, axis=2)
    if image.mode == "CMYK":
        return _bgr_from_cmyk(np.asarray(image))
    if image.mode == "RGBA":  # the colours under the alpha channel, not blended with it
        return np.asarray(image)[:, :, 2::-1]
    return np.asarray(image.convert("RGB"))[:, :, ::-1]


def _grey(image: Image.Image, mixed_by_libpng: bool = False) -> Pixels:
    if image.mode.startswith("I"):  # 16 bits
        return (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)[:, :, None]
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))[:, :, None]
    return _mixed(np.moveaxis(_bgr(image), 2, 0)[::-1], mixed_by_libpng)[:, :, None]


def _mixed(rgb: Pixels, by_libpng: bool = False) -> Pixels:
    """Return the grey values, (rows, columns), of the planes of red, green and blue."""
    red, green, blue = (plane.astype(np.int32) for plane in rgb)
    if by_libpng:  # OpenCV leaves it to libpng, which cuts where OpenCV rounds
        mixed = (9797 * red + 19234 * green + 3737 * blue) >> 15
    else:
        mixed = (4899 * red + 9617 * green + 1868 * blue + (1 << 13)) >> 14
    grey: Pixels = mixed.astype(np.uint8)
    return grey


def _bgr_from_cmyk(inks: Pixels) -> Pixels:
    # OpenCV counts from the stored, inverted values; Pillow has turned them into amounts of ink.
    light = 255 - inks.astype(np.int32)
    black = light[:, :, 3:]
    rgb: Pixels = (black - ((255 - light[:, :, :3]) * black >> 8)).astype(np.uint8)
    return rgb[:, :, ::-1]


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
    _, old_height, old_width = image.shape
    if (old_height, old_width) == (height, width):
        return image
    if (old_height, old_width) == (2 * height, 2 * width):
        wide = image.astype(np.uint16)
        quads = wide[:, ::2, ::2] + wide[:, 1::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, 1::2]
        return ((quads + 2) >> 2).astype(np.uint8)
    columns, column_weights = _taps(old_width, width)
    # A column that reaches over the edge takes the pixel on the edge alone; a row keeps its two
    # weights, both on the row at the edge, which rounds differently.
    outside = (columns[:, 0] < 0) | (columns[:, 1] >= old_width)
    column_weights[outside] = 1 << _COEFFICIENT_BITS, 0
    columns = columns.clip(0, old_width - 1)
    rows, row_weights = _taps(old_height, height)
    needed, rows = np.unique(rows.clip(0, old_height - 1), return_inverse=True)
    source = image[:, needed].astype(np.int32)
    left, right = source[:, :, columns[:, 0]], source[:, :, columns[:, 1]]
    across = (left * column_weights[:, 0] + right * column_weights[:, 1]) >> 4
    rows = rows.reshape(height, 2)
    upper = across[:, rows[:, 0]] * row_weights[:, 0, None] >> 16
    lower = across[:, rows[:, 1]] * row_weights[:, 1, None] >> 16
    return ((upper + lower + 2) >> 2).astype(np.uint8)


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


def _taps(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Return the two source indices of each target index (maybe outside) and their weights."""
    scale = 1.0 / (new / old)  # in this order, for the same last bit as OpenCV
    at = ((np.arange(new) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(at)
    fraction = at - first
    weights = np.stack([np.float32(1) - fraction, fraction], axis=1) * (1 << _COEFFICIENT_BITS)
    low = first.astype(np.intp)
    return np.stack([low, low + 1], axis=1), np.rint(weights).astype(np.int32)


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


def encode_image(image: Pixels, kind: str, quality: int = 95) -> bytes:
    """Return the bytes of an image file.

    Parameters
    ----------
    image : ndarray, uint8, shape (3 or 1, rows, columns)
        Blue, green, red; or grey.
    kind : str
        A file name extension without the dot: jpg, png, bmp, ...
    quality : int
        Of a JPEG, 1 to 100; by default OpenCV's.
    """
    format_name = image_format(kind)
    pixels = image[0] if image.shape[0] == 1 else image[::-1].transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format_name, quality=quality)
    return file.getvalue()


def image_format(kind: str) -> str:
    """Return Pillow's name of the format that writes files ending in `kind`."""
    known = {
        extension[1:]: name
        for extension, name in Image.registered_extensions().items()
        if name in Image.SAVE
    }
    if kind.lower() not in known:
        raise DataError(f"image type {kind!r}: not one that can be written. Try jpg or png.")
    return known[kind.lower()]
