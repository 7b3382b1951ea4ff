"""Records, and the sources that read them round after round in a deterministic order."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.datum import ImageArray
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.ops.backend import Shape
from minicaffe.random import RandomStream

Floats = NDArray[np.float32]
RESTART = "Restarting data prefetching from start."  # Caffe's log line at the end of a round
# Position in a data set, as snapshots hold it (JSON types); each source has fields of its own.
RecordPosition: TypeAlias = dict[str, int | str]


class Record(Protocol):
    """One sample that has been found, but not decoded; ``str`` gives its location for messages."""

    @property
    def key(self) -> bytes:
        """Key in the database or path of the file, for messages."""

    @property
    def label(self) -> float:
        """The label."""

    @property
    def is_encoded(self) -> bool:
        """Whether `load` takes long enough to be done by a pool of threads."""

    def load(self) -> ImageArray:
        """Return the image, shape (channels, rows, columns); read only, any thread may call it."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """An image file that a list names; see `Record`.

    Parameters
    ----------
    where : str
        The list and its line.
    path : str
    label : int
    """

    where: str
    path: str
    label: int
    is_encoded: ClassVar[bool] = True

    @property
    def key(self) -> bytes:
        """The path."""
        return os.fsencode(self.path)

    def load(self) -> ImageArray:
        """Return the image.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        try:
            return self.read()
        except DataError as error:
            raise DataError(f"{self.where}: {error}{self.hint()}") from error

    def read(self) -> ImageArray:
        """Return the image; the location is added to errors."""
        raise NotImplementedError

    def hint(self) -> str:
        """Return what to add to errors."""
        return ""

    def __str__(self) -> str:
        return f"{self.where}: {self.path}"


class Resumable(ABC):
    """What can be continued from a position, with the same results as without interruption."""

    @abstractmethod
    def position(self) -> RecordPosition:
        """Return the position after all that was returned so far."""

    @abstractmethod
    def restore(self, position: RecordPosition) -> None:
        """Continue from a position; the data must be the same."""

    def close(self) -> None:  # noqa: B027 - not all of them hold something
        """Release files and threads; closing twice does nothing."""


class RecordSource(Resumable):
    """Reads the records of images of a data set.

    Attributes
    ----------
    size_advice : str
        How images of different sizes can be used; it follows "Use" in messages.
    image_shape : tuple of int or None
        Shape of all images, if it is known without reading one; they are float32 then.
    """

    size_advice = "batch_size: 1"
    image_shape: Shape | None = None

    def peek(self) -> Record:
        """Return the record that comes next; not called where `image_shape` is given."""
        raise NotImplementedError

    @abstractmethod
    def take(self, n: int) -> list[Record]:
        """Return the next n records and advance."""

    def count_records(self, limit: int) -> int | None:
        """Return the number of records, or `limit` if there are more; None if it is unknown."""
        return None

    @abstractmethod
    def skip(self, n: int) -> None:
        """Advance by n records without reading them."""

    def skip_at_random(self, most: int, stream: RandomStream) -> None:
        """Skip 0 to ``most - 1`` records, so that runs side by side differ; of 0, none."""
        if most:
            n = int(stream.generator().integers(most))
            logger.info("Skipping first %d data points.", n)
            self.skip(n)


class RowSource(Resumable):
    """Reads rows of arrays that are used as they are.

    Attributes
    ----------
    row_shapes : list of tuple of int
        Shape of a row, for each array.
    """

    row_shapes: list[Shape]

    @abstractmethod
    def take(self, n: int) -> tuple[Floats, ...]:
        """Return the next n rows of each array, float32, shape (n, ...), and advance."""

    @abstractmethod
    def skip(self, n: int) -> None:
        """Advance by n rows without reading them."""

    def count_records(self, limit: int) -> int | None:
        """Return the number of rows, or `limit` if there are more; None if it is unknown."""
        return None


def reading_order(n: int, stream: RandomStream | None, step: int) -> NDArray[np.intp]:
    """Return the order in which n items are read: as they are, or shuffled by a stream.

    It is a function of the stream's seed and name and of `step` alone, so that a resumed run finds
    the order again.
    """
    if stream is None:
        return np.arange(n)
    shuffle = RandomStream(stream.seed, f"{stream.name}/shuffle", step)
    return shuffle.generator().permutation(n)


def check_position(source: str, noun: str, needed: int, found: int) -> None:
    """Raise DataError if a position of a snapshot is outside its data: they have changed.

    Parameters
    ----------
    source : str
        Where the data are listed.
    noun : str
        What they are, in the plural.
    needed, found : int
        How many the position needs, and how many there are.
    """
    if not 0 <= needed <= found:
        raise DataError(
            f"{source}: number of {noun}: {found}; the position in the snapshot needs {needed}. "
            "The data have changed since the snapshot was taken. Put the old ones back, or delete "
            "the snapshot's data state file (.solverstate.json) to start from the first record."
        )
