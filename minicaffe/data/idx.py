"""IDX, the file format of MNIST and its relatives (http://yann.lecun.com/exdb/mnist, plain or .gz).

Big-endian: a magic number (2049: labels, 2051: images), the number of items, for images rows
and columns, then one byte a value.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from minicaffe.errors import DataError
from minicaffe.schema.unpacked_size import check_unpacked_size

_LABELS, _IMAGES = 2049, 2051
_PROBE_BYTES = 1 << 20


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
    # The headers first, because a small gzip file can unpack to more than the memory.
    n_images = _read_shape(images_path, _IMAGES, "images")[0]
    n_labels = _read_shape(labels_path, _LABELS, "labels")[0]
    if n_images != n_labels:
        raise DataError(
            f"{images_path} holds {n_images} images, {labels_path} {n_labels} labels; "
            "there must be one label per image. Are the files of the same set?"
        )
    if not n_images:
        raise DataError(f"{images_path}: holds no images. Is the file complete?")
    return read_images(images_path), read_labels(labels_path)


def write_idx(values: NDArray[np.uint8]) -> bytes:
    """Return the content of an IDX file of images (3 axes) or labels (1 axis)."""
    magic = _IMAGES if values.ndim == 3 else _LABELS
    return np.array([magic, *values.shape], dtype=">i4").tobytes() + values.tobytes()


def read_content(path: str | Path) -> bytes:
    """Return the content of a file, unpacked if it is gzip data, even without the name .gz."""
    with _open(path) as file:
        return file.read()


@contextmanager
def _open(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked if it is gzip data; errors name it."""
    try:
        with Path(path).open("rb") as packed:
            is_gzip = packed.read(2) == b"\x1f\x8b"
            packed.seek(0)
            if not is_gzip:
                yield packed
                return
            with gzip.GzipFile(fileobj=packed) as unpacked:
                yield cast(BinaryIO, unpacked)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: a damaged gzip file: {error}. Download it again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error


def _read_shape(path: str | Path, magic: int, what: str) -> tuple[int, ...]:
    with _open(path) as file:
        return _parse_header(file, path, magic, what)


def _parse_header(file: BinaryIO, path: str | Path, magic: int, what: str) -> tuple[int, ...]:
    size = 8 if magic == _LABELS else 16
    content = file.read(size)
    found = int.from_bytes(content[:4], "big")
    if found != magic:
        file.read(_PROBE_BYTES)  # raises the error about gzip data, if these are damaged
        other = {_LABELS: "labels", _IMAGES: "images"}.get(found)
        hint = f" These are {other}: are the two files swapped?" if other else ""
        raise DataError(
            f"{path}: not an IDX file of {what}: it begins with {found}, not {magic}.{hint}"
        )
    if len(content) < size:
        raise DataError(
            f"{path}: has {len(content)} bytes, less than the header of an IDX file of {what} "
            f"({size}). Is the file complete?"
        )
    return tuple(np.frombuffer(content[4:], ">u4").tolist())


def _read(path: str | Path, magic: int, what: str) -> NDArray[np.uint8]:
    with _open(path) as file:
        shape = _parse_header(file, path, magic, what)
        size = math.prod(shape)
        check_unpacked_size(path, size, DataError)
        content = file.read(size + 1)
    if len(content) != size:
        found = f"more than {size}" if len(content) > size else str(len(content))
        raise DataError(
            f"{path}: holds {found} values; its header says {' x '.join(map(str, shape))}. Is the "
            "file complete?"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
