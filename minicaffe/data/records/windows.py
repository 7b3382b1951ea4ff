"""Batches of windows: boxes cut out of pictures, some on objects and the rest on background."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.batches import Batch, Position
from minicaffe.data.image import Pixels, decode_image, read_image
from minicaffe.data.mean import read_mean
from minicaffe.data.ordered_pool import OrderedPool
from minicaffe.data.records.window_crop import Box, Cropper
from minicaffe.data.records.window_file import WindowImage, read_window_file
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.random import RandomStream
from minicaffe.schema.minicaffe_pb2 import TransformationParameter

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Sampling:
    """Which windows a batch holds.

    Parameters
    ----------
    batch_size : int
    fg_threshold : float
        A window whose overlap is at least this shows an object of its class.
    bg_threshold : float
        One that is no object and whose overlap is less than this is background, class 0.
    fg_fraction : float
        The share of objects in a batch; their number is rounded down.
    """

    batch_size: int
    fg_threshold: float = 0.5
    bg_threshold: float = 0.5
    fg_fraction: float = 0.25

    @property
    def n_objects(self) -> int:
        """Windows in a batch that show objects; they come after the background."""
        return int(np.float32(self.batch_size) * np.float32(self.fg_fraction))


class WindowBatches:
    """Batches of windows drawn at random, with replacement.

    Parameters
    ----------
    source : str
        The window file.
    sampling : Sampling
        Which windows are drawn.
    cropper : Cropper
        How they are cut out.
    transform : TransformationParameter
        mean_file, mean_value, scale and mirror are used. Empty parts of a crop stay 0.
    stream : RandomStream
        Draws the windows.
    root_folder : str
        Put before every path as it is, so it ends with a slash.
    cache_images : bool
        Keep the bytes of the picture files in memory.
    threads : int
        Decode so many pictures at once.

    Raises
    ------
    DataError
        If the window file or the mean cannot be used, or there is nothing to draw from.
    """

    def __init__(
        self,
        source: str,
        sampling: Sampling,
        cropper: Cropper,
        transform: TransformationParameter,
        stream: RandomStream,
        *,
        root_folder: str = "",
        cache_images: bool = False,
        threads: int = 1,
    ) -> None:
        self._source, self._root = source, root_folder
        self._sampling, self._cropper, self._stream = sampling, cropper, stream
        self._mean = _mean(transform, cropper.size)
        self._scale = np.float32(transform.scale)
        self._mirror = bool(transform.mirror)
        self._windows = read_window_file(source)
        logger.info("Number of images: %d", len(self._windows.images))
        self._objects, self._background = self._divide()
        self._pool = OrderedPool(threads)
        self._cache: list[bytes] | None = None
        if cache_images:
            self._cache = self._pool.map(self._content, self._windows.images)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of a batch's data."""
        return self._sampling.batch_size, 3, self._cropper.size, self._cropper.size

    @property
    def assembler(self) -> None:
        """None: crops have empty parts, which the transformation leaves alone."""
        return None

    def next(self) -> Batch:
        """Return the next batch: background first, then objects.

        Raises
        ------
        DataError
            If a picture cannot be read or a window lies outside of it.
        """
        generator = self._stream.generator()
        n = self._sampling.n_objects
        background = self._draw(generator, self._background, self._sampling.batch_size - n)
        chosen = np.concatenate([background, self._draw(generator, self._objects, n)])
        mirrored = np.zeros(len(chosen), bool)
        if self._mirror:
            mirrored = generator.integers(2, size=len(chosen)).astype(bool)
        jobs = zip(chosen.tolist(), mirrored.tolist(), strict=True)
        data = np.stack(self._pool.map(self._sample, jobs))
        labels = self._windows.label[chosen].astype(np.float32)
        labels[: len(background)] = 0
        images = [self._windows.images[i] for i in self._windows.owner[chosen]]
        keys = [os.fsencode(self._root + image.path) for image in images]
        return Batch(data, labels, keys, self.position())

    def position(self) -> Position:
        """Return the random step: all that the next batch depends on."""
        return {"step": self._stream.step}

    def restore(self, position: Position) -> None:
        """Go on from a position; the window file must be the same."""
        self._stream.step = position["step"]

    def close(self) -> None:
        """End the threads that decode."""
        self._pool.close()

    def _divide(self) -> tuple[Indices, Indices]:
        """Return the indices of the objects and of the background."""
        sampling, windows = self._sampling, self._windows
        is_object = windows.overlap >= np.float32(sampling.fg_threshold)
        is_background = ~is_object & (windows.overlap < np.float32(sampling.bg_threshold))
        objects, background = np.flatnonzero(is_object), np.flatnonzero(is_background)
        if unnamed := np.flatnonzero(windows.label[objects] == 0).tolist():
            image = windows.images[windows.owner[objects[unnamed[0]]]]
            raise DataError(
                f"{self._source}:{image.line}: {self._root}{image.path} has a window of class 0 "
                f"with an overlap of at least fg_threshold {sampling.fg_threshold:g}; class 0 is "
                "the background, classes of objects begin at 1."
            )
        n = sampling.n_objects
        if n and not len(objects):
            raise DataError(
                f"{self._source}: no window has an overlap of at least fg_threshold "
                f"{sampling.fg_threshold:g}, but fg_fraction asks for {n} a batch. Lower "
                "fg_threshold, or set fg_fraction: 0."
            )
        if n < sampling.batch_size and not len(background):
            raise DataError(
                f"{self._source}: no window has an overlap of less than bg_threshold "
                f"{sampling.bg_threshold:g}, but fg_fraction leaves {sampling.batch_size - n} a "
                "batch for the background. Raise bg_threshold, or set fg_fraction: 1."
            )
        for label, count in zip(
            *np.unique(windows.label[objects], return_counts=True), strict=True
        ):
            logger.info("class %d has %d samples", label, count)
        logger.info("class 0 has %d samples", len(background))
        return objects, background

    def _draw(self, generator: np.random.Generator, windows: Indices, n: int) -> Indices:
        return windows[generator.integers(len(windows), size=n)] if n else windows[:0]

    def _sample(self, job: tuple[int, bool]) -> Floats:
        """Return one crop, shape (3, size, size)."""
        window, mirror = job
        owner = int(self._windows.owner[window])
        image = self._windows.images[owner]
        try:
            picture = self._picture(owner)
            patch = self._cropper(picture, Box(*self._windows.box[window].tolist()), mirror)
        except DataError as error:
            raise DataError(f"{self._source}:{image.line}: {error}") from error
        size = self._cropper.size
        crop = np.zeros((3, size, size), np.float32)
        rows = slice(patch.top, patch.top + patch.pixels.shape[1])
        columns = slice(patch.left, patch.left + patch.pixels.shape[2])
        values = np.subtract(patch.pixels, self._mean[:, rows, columns], dtype=np.float32)
        crop[:, rows, columns] = values * self._scale
        return crop

    def _picture(self, index: int) -> Pixels:
        path = self._root + self._windows.images[index].path
        if self._cache is None:
            return read_image(path)
        return decode_image(self._cache[index], color=True, where=path)

    def _content(self, image: WindowImage) -> bytes:
        path = self._root + image.path
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise DataError(
                f"{self._source}:{image.line}: {path}: the picture cannot be read: "
                f"{error.strerror}."
            ) from error


def _mean(transform: TransformationParameter, size: int) -> Floats:
    """Return what is subtracted from a crop, shape (3, size, size)."""
    if transform.mean_file and transform.mean_value:
        raise DataError(
            "transform_param: mean_file and mean_value are both set; there can be one mean only. "
            "Remove one."
        )
    shape = (3, size, size)
    if not transform.mean_file:
        values = np.array(transform.mean_value or [0], np.float32)
        if len(values) not in (1, 3):
            raise DataError(
                f"transform_param: {len(values)} mean_values; give one, or three: blue, green, red"
            )
        return np.broadcast_to(values[:, None, None], shape)
    mean = read_mean(transform.mean_file)
    # Caffe takes the middle of the columns for the rows as well.
    first = (mean.shape[2] - size) // 2
    middle = mean[:, max(first, 0) : first + size, max(first, 0) : first + size]
    if middle.shape != shape:
        raise DataError(
            f"mean_file {transform.mean_file}: the mean is {' x '.join(map(str, mean.shape))} "
            f"(channels x rows x columns); it must hold a crop of {' x '.join(map(str, shape))}. "
            "Use one mean_value a channel."
        )
    return middle
