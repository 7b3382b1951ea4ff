"""Lists of images with a label for each pixel, and the records that they name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from minicaffe.data.image import Pixels, read_image, read_label_image
from minicaffe.data.records.image_list import ImageFiles, ListedRecord, shorten
from minicaffe.data.records.listed import ListedRecords
from minicaffe.errors import DataError, Problems
from minicaffe.log import logger
from minicaffe.random import RandomStream
from minicaffe.text_file import ForeignBytes, read_text

_MOST_PROBLEMS = 10
_LARGEST_LABEL = 255  # of the pixels of an image file
_NUMBER = re.compile(r"[0-9]{1,3}")
_HALF = 128  # grey values from here on are edges


class LabelKind(Enum):
    """What stands behind the path of the image in a line of the list."""

    NOTHING = "a line of the list is the path of an image"
    NUMBER = "a line of the list is the path of an image, a space and its label, 0 to 255"
    LABELS = "a line of the list is the path of an image, a space and the path of its label image"
    EDGES = "a line of the list is the path of an image, a space and the path of its edge map"

    @property
    def is_file(self) -> bool:
        """Whether the labels are the pixels of an image file."""
        return self in (LabelKind.LABELS, LabelKind.EDGES)


@dataclass(frozen=True)
class LabelMapFiles(ImageFiles):
    """A list of images with labels of their pixels, and how they are read.

    Parameters
    ----------
    kind : LabelKind
        What the list says about the labels.
    ignore_label : int
        The label of all pixels if the list has none, 0 to 255.
    """

    kind: LabelKind = LabelKind.LABELS
    ignore_label: int = _LARGEST_LABEL


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One line of a list.

    Parameters
    ----------
    name : str
        The path of the image as the list has it.
    labels : str
        The path of the label image, a number, or "".
    line : int
        Line of the list, from 1.
    """

    name: str
    labels: str
    line: int


def read_label_map_list(path: str, kind: LabelKind) -> list[LabelledImage]:
    """Read a list. Its columns are separated by spaces or tabs; blank lines do not count.

    Raises
    ------
    DataError
        If the list cannot be read or is empty; or names the lines that are wrong.
    """
    lines = read_text(path, "the list", ForeignBytes.ESCAPE, kind.value).split("\n")
    problems = Problems(DataError)
    images: list[LabelledImage] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, *rest = line.split()
        labels = rest[0] if rest else ""
        if kind is LabelKind.NOTHING or _is_complete(rest, kind):
            images.append(LabelledImage(name, labels, number))
        elif len(problems.messages) < _MOST_PROBLEMS:
            problems.add(f"{path}:{number}: {shorten(line.strip())!r}; {kind.value}.")
    problems.raise_if_any()
    if not images:
        raise DataError(f"{path}: the list is empty; {kind.value}.")
    return images


def _is_complete(rest: list[str], kind: LabelKind) -> bool:
    """Return whether the columns behind the path of an image are those of `kind`."""
    if len(rest) != 1 or kind.is_file:
        return len(rest) == 1
    return bool(_NUMBER.fullmatch(rest[0])) and int(rest[0]) <= _LARGEST_LABEL


@dataclass(frozen=True, slots=True)
class LabelMapRecord(ListedRecord):
    """An image of a list with a label for each pixel.

    Parameters
    ----------
    files : LabelMapFiles
    labels : str
        As in `LabelledImage`.
    """

    files: LabelMapFiles
    labels: str

    def read(self) -> Pixels:
        """Read the files.

        Returns
        -------
        ndarray, uint8, shape (channels + 1, rows, columns)
            The image, and the labels as the last channel.
        """
        files = self.files
        image = read_image(self.path, files.color, files.height, files.width)
        labels = self._read_labels(image.shape[1:])
        if labels.shape[1:] != image.shape[1:]:
            raise DataError(
                f"{files.root_folder}{self.labels}: the labels are {_size(labels)} and the image "
                f"{self.path} is {_size(image)} (rows x columns); each pixel needs a label. Make "
                "the files equally large, or set new_height and new_width."
            )
        return np.concatenate([image, labels])

    def hint(self) -> str:
        """Return why a file may be missing."""
        path = f"{self.files.root_folder}{self.labels}"
        if Path(self.path).exists() and self.files.kind.is_file and not Path(path).exists():
            return f" Is {self.labels!r} a path below the same root_folder as the image's?"
        return ListedRecord.hint(self)

    def _read_labels(self, size: tuple[int, ...]) -> Pixels:
        files = self.files
        if not files.kind.is_file:
            is_number = files.kind is LabelKind.NUMBER
            return np.full((1, *size), self.label if is_number else files.ignore_label, np.uint8)
        path = f"{files.root_folder}{self.labels}"
        if files.kind is LabelKind.LABELS:
            return read_label_image(path, files.height, files.width)
        edges = read_image(path, False, files.height, files.width)
        return (edges >= _HALF).astype(np.uint8)


def _size(image: Pixels) -> str:
    return f"{image.shape[1]} x {image.shape[2]}"


class LabelMapRecords(ListedRecords):
    """Reads a list of images with labels of their pixels.

    Parameters
    ----------
    files : LabelMapFiles
    shuffle : RandomStream, optional
        Seed and name of the random order.

    Raises
    ------
    DataError
        If the list cannot be used.
    """

    def __init__(self, files: LabelMapFiles, shuffle: RandomStream | None = None) -> None:
        logger.info("Opening file %s", files.source)
        self._files, self._images = files, read_label_map_list(files.source, files.kind)
        super().__init__(files.source, len(self._images), shuffle)

    def record(self, index: int) -> LabelMapRecord:
        """Return the record of an image of the list, counted from 0."""
        image, files = self._images[index], self._files
        where, path = f"{files.source}:{image.line}", files.root_folder + image.name
        label = int(image.labels) if files.kind is LabelKind.NUMBER else 0
        return LabelMapRecord(where, path, label, files, image.labels)
