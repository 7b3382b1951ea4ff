"""IDX, the file format of MNIST and its relatives (http://yann.lecun.com/exdb/mnist, plain or .gz).

Big-endian: a magic number (2049: labels, 2051: images), the number of items, for images rows
and columns, then one byte a value.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicaffe.errors import DataError

_LABELS, _IMAGES = 2049, 2051


def read_images(path: str | Path) -> NDArray[np.uint8]:
    """Return the images of an IDX file, uint8, shape (n, rows, columns)."""
    return _read(path, _IMAGES, "images")


def read_labels(path: str | Path) -> NDArray[np.uint8]:
    """Return the labels of an IDX file, uint8, shape (n,)."""
    return _read(path, _LABELS, "labels")


def read_set(
    images_path: str | Path, labels_path: str | Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images, shape (n, rows, columns), and their labels, shape (n,), of two IDX files."""
    images, labels = read_images(images_path), read_labels(labels_path)
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images, {labels_path} {len(labels)} labels; "
            "there must be one label per image. Are the files of the same set?"
        )
    if not len(images):
        raise DataError(f"{images_path}: holds no images. Is the file complete?")
    return images, labels


def write_idx(values: NDArray[np.uint8]) -> bytes:
    """Return the content of an IDX file of images (3 axes) or labels (1 axis)."""
    magic = _IMAGES if values.ndim == 3 else _LABELS
    return np.array([magic, *values.shape], dtype=">i4").tobytes() + values.tobytes()


def read_content(path: str | Path) -> bytes:
    """Return the content of a file, unpacked if it is gzip data, even without the name .gz."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: a damaged gzip file: {error}. Download it again.") from error


def _read(path: str | Path, magic: int, what: str) -> NDArray[np.uint8]:
    content = read_content(path)
    axes = 1 if magic == _LABELS else 3
    header = np.frombuffer(content[: 4 * (axes + 1)].ljust(4, b"\0"), dtype=">i4")
    if header[0] != magic or len(header) != axes + 1:
        found = int.from_bytes(content[:4], "big")
        other = {_LABELS: "labels", _IMAGES: "images"}.get(found)
        hint = f" These are {other}: are the two files swapped?" if other else ""
        raise DataError(
            f"{path}: not an IDX file of {what}: it begins with {found}, not {magic}.{hint}"
        )
    shape = tuple(int(n) for n in header[1:])
    values = np.frombuffer(content, dtype=np.uint8, offset=4 * (axes + 1))
    if values.size != np.prod(shape):
        raise DataError(
            f"{path}: holds {values.size} values; its header says "
            f"{' x '.join(map(str, shape))}. Is the file complete?"
        )
    return values.reshape(shape)
