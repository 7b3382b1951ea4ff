"""Lists of image files with labels, and the records that they name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from minicaffe.data.image import Pixels, read_image
from minicaffe.data.records.base import FileRecord
from minicaffe.data.records.list_hints import list_line_hint
from minicaffe.data.records.list_text import Places, find_lines
from minicaffe.data.records.listed import ListedRecords
from minicaffe.errors import DataError, Problems
from minicaffe.log import logger
from minicaffe.path_hints import path_form_hint
from minicaffe.random import RandomStream
from minicaffe.text_file import ForeignBytes, read_text

_MOST_PROBLEMS = 10
_LABEL = re.compile(r"[+-]?[0-9]+")
_LABELS = 1 << 31
_MOST_DIGITS = 18  # of a label; int() refuses thousands
_EXACT_LABELS = 1 << 24
_LONGEST_QUOTE = 200


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One line of a list.

    Parameters
    ----------
    name : str
        The path as the list has it; may hold spaces.
    label : int
    line : int
        Line of the list, from 1.
    """

    name: str
    label: int
    line: int


class ImageList(Sequence[ListedImage]):
    """The images of a list, each read from the text when it is asked for.

    An object for each line of a long list would take longer to make than all else.

    Parameters
    ----------
    text : bytes
        The list, in UTF-8.
    numbers : ndarray, int64, shape (n,)
        The line of each image, from 1.
    begins, ends : ndarray, int64, shape (n,)
        Where its name begins and ends in the text.
    labels : ndarray, int64, shape (n,)
    """

    def __init__(
        self, text: bytes, numbers: Places, begins: Places, ends: Places, labels: Places
    ) -> None:
        self._text, self.labels = text, labels
        self._numbers, self._begins, self._ends = numbers, begins, ends

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> ListedImage: ...

    @overload
    def __getitem__(self, index: slice) -> list[ListedImage]: ...

    def __getitem__(self, index: int | slice) -> ListedImage | list[ListedImage]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        name = self._text[self._begins[index] : self._ends[index]]
        decoded = name.decode("utf-8", "surrogateescape")
        return ListedImage(decoded, int(self.labels[index]), int(self._numbers[index]))


def read_image_list(path: str) -> ImageList:
    """Read a list: a line is a path, a space and a label. Blank lines do not count.

    Raises
    ------
    DataError
        If the list cannot be read or is empty; or names the lines that are wrong.
    """
    rule = "a line of a list is a path, a space and a label"
    text = read_text(path, "the list", ForeignBytes.ESCAPE, rule)
    content = text.encode("utf-8", "surrogateescape")
    del text  # as large as the file
    lines = find_lines(content)
    are_images = lines.are_plain.copy()
    problems = Problems(DataError)
    for index in np.flatnonzero(~lines.are_plain).tolist():
        line = content[lines.begins[index] : lines.ends[index]].decode("utf-8", "surrogateescape")
        name, _, label = line.rstrip().rpartition(" ")
        problem = _problem(name, label, line)
        if not problem:
            are_images[index] = True
            n_bytes = len(name.encode("utf-8", "surrogateescape"))
            lines.name_ends[index] = lines.begins[index] + n_bytes
            lines.labels[index] = int(label)
        elif line.strip() and len(problems.messages) < _MOST_PROBLEMS:
            problems.add(f"{path}:{index + 1}: {problem}")
    problems.raise_if_any()
    if not are_images.any():
        raise DataError(f"{path}: the list is empty; a line is a path, a space and a label.")
    (at,) = np.nonzero(are_images)
    columns = (lines.begins, lines.name_ends, lines.labels)
    images = ImageList(content, at + 1, *(column[at] for column in columns))
    _warn_of_inexact_labels(path, images)
    return images


def _problem(name: str, label: str, line: str) -> str:
    """Return what is wrong with a line; an empty string if nothing is."""
    if not line.strip():
        return "a blank line"
    if not name.strip() or not _LABEL.fullmatch(label):
        return (
            f"{shorten(line.rstrip())!r}; a line is a path, a space and a label, which is a whole "
            f"number. {list_line_hint(line)}"
        )
    if len(label) > _MOST_DIGITS or not -_LABELS <= int(label) < _LABELS:
        return (
            f"label {shorten(label)}; a label must fit into 32 bits, -{_LABELS} to {_LABELS - 1}. "
            "Number the classes from 0."
        )
    return ""


def shorten(text: str) -> str:
    """Return the begin of a text that is too long for a message."""
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


def _warn_of_inexact_labels(path: str, images: ImageList) -> None:
    (inexact,) = np.nonzero(np.abs(images.labels) > _EXACT_LABELS)
    if len(inexact):
        image = images[inexact[0]]
        logger.warning(
            f"{path}:{image.line}: label {image.label}; nets hold labels as float32, which is "
            f"exact up to {_EXACT_LABELS} only."
        )


@dataclass(frozen=True)
class ImageFiles:
    """A list of image files, and how they are read.

    Parameters
    ----------
    source : str
        The list.
    root_folder : str
        Put before every name as it is, so it ends with a slash.
    height, width : int
        Resize to so many rows and columns; 0 and 0 keep the size.
    color : bool
        Blue, green, red; or grey.
    scaled : bool
        See `minicaffe.data.image.Resized`.
    """

    source: str
    root_folder: str = ""
    height: int = 0
    width: int = 0
    color: bool = True
    scaled: bool = False


@dataclass(frozen=True, slots=True)
class ListedRecord(FileRecord):
    """An image file of a list."""

    files: ImageFiles

    def read(self) -> Pixels:
        """Read the file."""
        files = self.files
        return read_image(self.path, files.color, files.height, files.width, files.scaled)

    def hint(self) -> str:
        """Return why the file may be missing."""
        root = self.files.root_folder
        if Path(self.path).exists():
            return ""
        if path_form_hint(self.path):
            return ""  # the error has it
        if root and not root.endswith("/"):
            return f' root_folder "{root}" is put before the name as it is: end it with "/".'
        return "" if root else f" The path is relative to {Path.cwd()}; see root_folder."


class ImageListRecords(ListedRecords):
    """Reads a list of image files with labels.

    Parameters
    ----------
    files : ImageFiles
    shuffle : RandomStream, optional
        Seed and name of the random order.

    Raises
    ------
    DataError
        If the list cannot be used.
    """

    def __init__(self, files: ImageFiles, shuffle: RandomStream | None = None) -> None:
        logger.info("Opening file %s", files.source)
        self._files, self._images = files, read_image_list(files.source)
        super().__init__(files.source, len(self._images), shuffle)

    def record(self, index: int) -> ListedRecord:
        """Return the record of an image of the list, counted from 0."""
        image, files = self._images[index], self._files
        where, path = f"{files.source}:{image.line}", files.root_folder + image.name
        return ListedRecord(where, path, image.label, files)
