"""Single pictures for a net's input: resized, the mean subtracted, scaled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minicaffe.data.image import read_image
from minicaffe.errors import DataError
from minicaffe.schema import read_blobproto

Floats = npt.NDArray[np.float32]
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def read_mean(text: str) -> Floats:
    """Return a mean to subtract.

    Parameters
    ----------
    text : str
        A .binaryproto or .npy file with a mean picture, or one number, or one for each channel,
        separated by commas.

    Returns
    -------
    ndarray of float32
        Shape (channels,) or (channels, rows, columns).

    Raises
    ------
    DataError
        If there is no such file, or it holds something else.
    """
    values = _numbers(text)
    if values is None:
        values = _load(text)
    values = values[0] if values.ndim == 4 else values
    if values.ndim not in (1, 3):
        raise DataError(
            f"mean {text}: has shape {values.shape}; a mean has one value for each channel, "
            "or is a picture of channels x rows x columns"
        )
    return values


def channel_means(text: str, channels: int) -> Floats:
    """Return the mean of each channel of `read_mean`, zeros without a text.

    Raises
    ------
    DataError
        As `read_mean`; and if the mean has another number of channels.
    """
    mean = read_mean(text) if text else np.zeros(1, np.float32)
    values = mean if mean.ndim == 1 else mean.mean(axis=(1, 2))
    if len(values) not in (1, channels):
        raise DataError(
            f"mean {text}: has {len(values)} channels, the net's input {channels}; "
            "take the mean that belongs to the net"
        )
    return np.broadcast_to(values, channels).astype(np.float32)


def _numbers(text: str) -> Floats | None:
    try:
        return np.array([float(word) for word in text.split(",")], np.float32)
    except ValueError:
        return None


def _load(path: str) -> Floats:
    if not path.endswith(".npy"):
        return read_blobproto(path)
    try:
        values: Floats = np.load(path).astype(np.float32)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a NumPy array: {error}") from error
    return values


def prepare(path: str | Path, shape: Sequence[int], mean: Floats, scale: float = 1.0) -> Floats:
    """Read a picture for an input of `shape` (channels, rows, columns).

    Returns
    -------
    ndarray of float32
        (value in 0 .. 255 - mean of its channel) * scale; blue, green, red; or grey.
    """
    channels, height, width = shape
    picture = read_image(path, channels == 3, height, width).astype(np.float32)
    return (picture - mean[:, None, None]) * np.float32(scale)


def find_pictures(paths: Sequence[str]) -> list[str]:
    """Return the files given, and the pictures in the folders given, sorted.

    Raises
    ------
    DataError
        If a folder holds no picture.
    """
    found: list[str] = []
    for path in paths:
        if not Path(path).is_dir():
            found.append(path)
            continue
        inside = sorted(
            str(file) for file in Path(path).rglob("*") if file.suffix.lower() in _PICTURES
        )
        if not inside:
            raise DataError(f"{path}: no picture in this folder ({', '.join(_PICTURES)})")
        found += inside
    return found


def read_labels(path: str, n: int) -> list[str]:
    """Return the names of `n` classes, one a line of a file."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: the labels cannot be read: {error.strerror}.") from error
    labels = text.rstrip("\n").split("\n")
    if len(labels) != n:
        raise DataError(
            f"{path}: {len(labels)} labels, but the net tells {n} classes apart; give the name of "
            "each in a line of its own"
        )
    return [label.rstrip("\r") for label in labels]
