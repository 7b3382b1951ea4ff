"""Image decoding and encoding with OpenCV's conventions, by Pillow and NumPy.

Caffe reads images with OpenCV, so that databases, means and trained weights carry OpenCV's
habits: blue-green-red order, its ways to drop an alpha channel, to mix grey, and to turn images by
their EXIF orientation. This module repeats them, and minicaffe/data/pixels/resizing.py its bilinear
rule.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from minicaffe.data.pixels.kernels import Pixels as Pixels
from minicaffe.data.pixels.kernels import planes_of_bgr
from minicaffe.data.pixels.pillow_memory import planes_of_image
from minicaffe.data.pixels.resizing import resize, resize_nearest
from minicaffe.errors import DataError
from minicaffe.path_hints import one_line, path_form_hint

PIXELS_VARIABLE = "MINICAFFE_MAX_IMAGE_PIXELS"
# Decoding takes up to 25 bytes a pixel (WebP). Pillow's own limit, which programs may set, is about
# three times as high.
_MOST_PIXELS, _PILLOW_DEFAULT = 1 << 26, (1 << 30) // 12
_LARGE_PIXELS = 1 << 24
_large_images = threading.Lock()
# Their 16-bit values have mode "I" in some versions of Pillow.
_FORMATS_OF_16_BITS = ("PNG", "PPM", "JPEG2000", None)


class Resized(NamedTuple):
    """Rows and columns that an image is resized to.

    Parameters
    ----------
    rows, columns : int
    scaled : bool
        Whether a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size where both sides of that are at
        least as long as the longer one here: faster, but pixels differ from those of OpenCV.
    """

    rows: int
    columns: int
    scaled: bool = False


def read_image(
    path: str | Path, color: bool = True, height: int = 0, width: int = 0, scaled: bool = False
) -> Pixels:
    """Read an image file, resized if `height` and `width` are given; `scaled` as in `Resized`.

    Returns
    -------
    ndarray, uint8, shape (3 or 1, rows, columns)
        Blue, green, red; or grey.

    Raises
    ------
    DataError
        If there is no such file or it is not an image.
    """
    size = Resized(height, width, scaled) if height and width else None
    return decode_image(image_content(path), color, str(path), size)


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


def decode_image(
    content: bytes, color: bool | None, where: object, size: Resized | None = None
) -> Pixels:
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
    size : Resized, optional

    Returns
    -------
    ndarray, uint8, shape (channels, rows, columns)
    """
    planes = _decode(content, where, partial(_planes, color=color, size=size))
    return planes if size is None else resize(planes, size.rows, size.columns)


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
    """Decode an image file; `convert` returns its planes."""
    if not content:
        raise DataError(f"{where}: the image is empty (0 bytes).")
    try:
        with Image.open(io.BytesIO(content)) as image, decoding(image, where):
            _check_values(image, where)
            return convert(image)
    except DataError:
        raise
    except Exception as error:  # Pillow's plugins raise errors of many types for damaged files
        # Pillow's message names a BytesIO object, which means nothing to the user.
        reason = "no known format" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(
            f"{where}: not an image that can be decoded ({len(content)} bytes): {reason}. "
            "Is the file complete?"
        ) from error


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


def _planes(image: Image.Image, color: bool | None, size: Resized | None = None) -> Pixels:
    """Return planes, (channels, rows, columns), of that size if one pass can resize them too."""
    if image.format == "JPEG":
        # The luma as stored is what OpenCV takes. EXIF may exchange rows and columns.
        mode = "L" if color is False and image.mode == "RGB" else image.mode
        side = max(size.rows, size.columns) if size is not None and size.scaled else 0
        image.draft(mode, (side, side) if side else None)
    if color is not None:
        ImageOps.exif_transpose(image, in_place=True)
    if color is False:
        return planes_of_bgr(_grey(image, mixed_by_libpng=image.format == "PNG"))
    if image.mode == "RGB" and "transparency" not in image.info:
        planes = planes_of_image(image, None if size is None else size[:2])
        if planes is not None:
            return planes
    return planes_of_bgr(_native(image) if color is None else _bgr(image))


def _labels(image: Image.Image, where: str) -> Pixels:
    if image.format == "JPEG":
        raise DataError(
            f"{where}: a JPEG file changes the values of pixels, so that they are no labels any "
            "more. Store the labels as PNG."
        )
    return np.array(image)[None] if image.mode == "P" else _planes(image, color=False)


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
    # A conversion to the same mode would copy the image.
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))[:, :, ::-1]


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
