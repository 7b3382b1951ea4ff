"""Means that are subtracted from images: mean files, and means given on a command line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.npy import read_npy
from minicaffe.errors import DataError
from minicaffe.schema.binary import read_blobproto

Floats = NDArray[np.float32]


def read_mean(path: str) -> Floats:
    """Read a mean image (binaryproto), as ``mean_file`` names it.

    Returns
    -------
    ndarray, float32, shape (channels, rows, columns)
        For clips with a mean for each frame, (channels * frames, rows, columns).

    Raises
    ------
    DataError
        If the file is missing or does not hold one image.
    """
    try:
        mean = read_blobproto(path)
    except DataError as error:
        raise DataError(f"mean_file {error}. Make one with compute_image_mean.") from error
    if mean.ndim in (4, 5) and mean.shape[0] == 1:
        mean = mean.reshape(-1, *mean.shape[-2:])
    if mean.ndim != 3 or not mean.size:
        raise DataError(
            f"mean_file {path}: its shape is {' x '.join(map(str, mean.shape))}; a mean is one "
            "image, channels x rows x columns. Make one with compute_image_mean."
        )
    return mean


def parse_mean(text: str) -> Floats:
    """Return the mean that a command-line argument gives.

    Parameters
    ----------
    text : str
        A .binaryproto or .npy file with a mean image, or one number, or one for each channel,
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
            "or is an image of channels x rows x columns"
        )
    return values


def parse_channel_mean(text: str) -> Floats:
    """Return `parse_mean`, an image averaged over its pixels: shape (channels,) or (1,)."""
    mean = parse_mean(text)
    return mean if mean.ndim == 1 else mean.mean(axis=(1, 2))


def channel_means(text: str, channels: int) -> Floats:
    """Return the mean of each channel of `parse_mean`, zeros without a text.

    Raises
    ------
    DataError
        As `parse_mean`; and if the mean has another number of channels.
    """
    values = parse_channel_mean(text) if text else np.zeros(1, np.float32)
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
    return read_npy(path).astype(np.float32)
