"""Windows of images as records: boxes drawn at random, some on objects, the rest on background."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.image import decode_image, read_image
from minicaffe.data.ordered_pool import OrderedPool
from minicaffe.data.records.base import FileRecord, Record, RecordPosition, RecordSource
from minicaffe.data.records.window_crop import CropBox, WindowTransformer
from minicaffe.data.records.window_file import WindowImage, read_window_file
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.path_hints import path_form_hint
from minicaffe.random import RandomStream

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class WindowFiles:
    """A window file, and how the images that it names are read.

    Parameters
    ----------
    source : str
        The window file.
    root_folder : str
        Put before every path as it is, so it ends with a slash.
    cache_images : bool
        Keep the bytes of the image files in memory.
    threads : int
        Read so many files at once into the cache.
    """

    source: str
    root_folder: str = ""
    cache_images: bool = False
    threads: int = 1


@dataclass(frozen=True)
class Sampling:
    """Which windows a batch holds.

    Parameters
    ----------
    batch_size : int
        Windows of the whole batch.
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


@dataclass(frozen=True, slots=True)
class WindowRecord(FileRecord):
    """A window of an image file, which is read, or decoded from `content`."""

    content: bytes | None
    box: CropBox
    mirror: bool
    transformer: WindowTransformer

    def read(self) -> Floats:
        """Return the window, transformed."""
        if self.content is None:
            image = read_image(self.path)
        else:
            image = decode_image(self.content, color=True, where=self.path)
        return self.transformer.window(image, self.box, self.mirror)


class WindowRecords(RecordSource):
    """Draws windows at random, with replacement, and transforms them.

    Parameters
    ----------
    files : WindowFiles
    sampling : Sampling
        Which windows are drawn.
    transformer : WindowTransformer
        How they are cut out and transformed.
    stream : RandomStream
        Seed and name of the random numbers; each batch has a step of its own.

    Raises
    ------
    DataError
        If the window file cannot be used, or there is nothing to draw from.
    """

    def __init__(
        self,
        files: WindowFiles,
        sampling: Sampling,
        transformer: WindowTransformer,
        stream: RandomStream,
    ) -> None:
        self._files, self._sampling = files, sampling
        self._transformer, self._stream = transformer, stream
        self._next = 0  # window, of all batches so far
        self.image_shape = transformer.shape
        self._windows = read_window_file(files.source)
        logger.info("Number of images: %d", len(self._windows.images))
        self._objects, self._background = self._divide()
        self._cache: list[bytes] | None = None
        if files.cache_images:
            pool = OrderedPool(files.threads)
            self._cache = pool.map(self._content, self._windows.images)
            pool.close()

    def take(self, n: int) -> list[Record]:
        """Return the next n windows: in each batch background first, then objects."""
        taken: list[Record] = []
        while len(taken) < n:
            batch, first = divmod(self._next, self._sampling.batch_size)
            found = self._batch(batch, slice(first, first + n - len(taken)))
            taken += found
            self._next += len(found)
        return taken

    def _batch(self, batch: int, rows: slice) -> list[Record]:
        """Draw all windows of a batch, and return records of some of them."""
        n, n_objects = self._sampling.batch_size, self._sampling.n_objects
        generator = RandomStream(self._stream.seed, self._stream.name, batch).generator()
        background = _draw(generator, self._background, n - n_objects)
        objects = _draw(generator, self._objects, n_objects)
        chosen = np.concatenate([background, objects]).tolist()
        labels = [0] * len(background) + self._windows.label[objects].tolist()
        mirrored = [False] * n
        if self._transformer.mirror:
            mirrored = generator.integers(2, size=n).astype(bool).tolist()
        drawn = list(zip(chosen, labels, mirrored, strict=True))
        return [self._record(*window) for window in drawn[rows]]

    def skip(self, n: int) -> None:
        """Advance by n windows."""
        self._next += n

    def position(self) -> RecordPosition:
        """Return the number of windows before this position."""
        return {"windows": self._next}

    def restore(self, position: RecordPosition) -> None:
        """Continue from a position; minicaffe 0.1 stored the number of batches, as "step"."""
        batches = int(position.get("step", 0))
        self._next = int(position.get("windows", batches * self._sampling.batch_size))

    def _record(self, window: int, label: int, mirror: bool) -> Record:
        owner = int(self._windows.owner[window])
        content = self._cache[owner] if self._cache is not None else None
        box = CropBox(*self._windows.box[window].tolist())
        where = self._where(self._windows.images[owner])
        return WindowRecord(*where, label, content, box, mirror, self._transformer)

    def _where(self, image: WindowImage) -> tuple[str, str]:
        """Return window file and line, and the path of an image."""
        return f"{self._files.source}:{image.line}", self._files.root_folder + image.path

    def _divide(self) -> tuple[Indices, Indices]:
        """Return the indices of the objects and of the background."""
        sampling, windows = self._sampling, self._windows
        is_object = windows.overlap >= np.float32(sampling.fg_threshold)
        is_background = ~is_object & (windows.overlap < np.float32(sampling.bg_threshold))
        objects, background = np.flatnonzero(is_object), np.flatnonzero(is_background)
        if unnamed := np.flatnonzero(windows.label[objects] == 0).tolist():
            where, path = self._where(windows.images[windows.owner[objects[unnamed[0]]]])
            raise DataError(
                f"{where}: {path} has a window of class 0 with an overlap of at least fg_threshold "
                f"{sampling.fg_threshold:g}; class 0 is the background, classes of objects begin "
                "at 1."
            )
        n = sampling.n_objects
        if n and not len(objects):
            raise DataError(
                f"{self._files.source}: no window has an overlap of at least fg_threshold "
                f"{sampling.fg_threshold:g}, but fg_fraction asks for {n} a batch. Lower "
                "fg_threshold, or set fg_fraction: 0."
            )
        if n < sampling.batch_size and not len(background):
            raise DataError(
                f"{self._files.source}: no window has an overlap of less than bg_threshold "
                f"{sampling.bg_threshold:g}, but fg_fraction leaves {sampling.batch_size - n} a "
                "batch for the background. Raise bg_threshold, or set fg_fraction: 1."
            )
        for label, count in zip(
            *np.unique(windows.label[objects], return_counts=True), strict=True
        ):
            logger.info("class %d has %d samples", label, count)
        logger.info("class 0 has %d samples", len(background))
        return objects, background

    def _content(self, image: WindowImage) -> bytes:
        where, path = self._where(image)
        try:
            return Path(path).read_bytes()
        except OSError as error:
            hint = path_form_hint(path)
            raise DataError(
                f"{where}: {path}: the image cannot be read: {error.strerror}.{hint}"
            ) from error
        except ValueError as error:  # a NUL byte
            raise DataError(f"{where}: {path!r}: {error} in the path of an image.") from error


def _draw(generator: np.random.Generator, windows: Indices, n: int) -> Indices:
    return windows[generator.integers(len(windows), size=n)] if n else windows[:0]
