"""Parser of R-CNN window files: images with boxes, their classes and overlaps.

A file consists of blocks::

    # INDEX
    path/of/the/image.jpg
    CHANNELS
    ROWS
    COLUMNS
    NUMBER OF WINDOWS
    CLASS OVERLAP X1 Y1 X2 Y2
    ...

X1, Y1 and X2, Y2 are the first and the last pixel of the box, from 0. OVERLAP, from 0 to 1, is how
much the box overlaps an object of CLASS (intersection over union).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.records.list_hints import is_count, separator_hint
from minicaffe.errors import DataError
from minicaffe.text_file import ForeignBytes, read_text

_FIELDS = 6
_LIMIT = 1 << 31  # of all numbers
_COUNTS = ("channels", "rows", "columns", "the number of windows")


@dataclass(frozen=True, slots=True)
class WindowImage:
    """An image of a window file.

    Parameters
    ----------
    path : str
        As the file has it.
    line : int
        Line of the path in the window file, from 1.
    """

    path: str
    line: int


@dataclass(frozen=True)
class Windows:
    """The content of a window file.

    Parameters
    ----------
    images : list of WindowImage
    owner : ndarray, int64, shape (n,)
        Index of the image of each window.
    label : ndarray, int64, shape (n,)
    overlap : ndarray, float32, shape (n,)
    box : ndarray, int64, shape (n, 4)
        x1, y1, x2, y2, pixels.
    """

    images: list[WindowImage]
    owner: NDArray[np.int64]
    label: NDArray[np.int64]
    overlap: NDArray[np.float32]
    box: NDArray[np.int64]


def read_window_file(path: str) -> Windows:
    """Read a window file.

    Raises
    ------
    DataError
        If it cannot be read, or at its first line that breaks the format.
    """
    blocks = list(_blocks(path, numbered_lines(path)))
    if not blocks:
        raise DataError(f'{path}: the window file is empty; it begins with "# 0".')
    rows = np.concatenate([found for _, found in blocks])
    owner = np.repeat(np.arange(len(blocks)), [len(found) for _, found in blocks])
    return Windows(
        images=[image for image, _ in blocks],
        owner=owner,
        label=rows[:, 0].astype(np.int64),
        overlap=rows[:, 1].astype(np.float32),
        box=rows[:, 2:].astype(np.int64),
    )


Lines = Iterator[tuple[int, str]]


def numbered_lines(path: str) -> Lines:
    """Return the lines of a window file that are not empty, with their numbers."""
    rule = 'a window file begins with "# 0"'
    text = read_text(path, "the window file", ForeignBytes.ESCAPE, rule)
    lines = ((n, line.strip()) for n, line in enumerate(text.split("\n"), start=1))
    return ((n, line) for n, line in lines if line)


def _blocks(path: str, lines: Lines) -> Iterator[tuple[WindowImage, NDArray[np.float64]]]:
    for number, line in lines:
        if not line.startswith("#"):
            raise DataError(
                f'{path}:{number}: found {line[:200]!r}, expected "# INDEX", which begins the next '
                "image. Does the number of windows of the image before agree?"
            )
        line_of_path, name = next_line(path, lines, "the path of an image")
        channels, _, _, n_windows = (read_count(path, lines, what) for what in _COUNTS)
        if channels != 3:
            raise DataError(
                f"{path}:{line_of_path}: {channels} channels; images are read in colour, so that "
                "there are always 3. Write 3."
            )
        yield WindowImage(name, line_of_path), _rows(path, lines, n_windows)


def next_line(path: str, lines: Lines, what: str) -> tuple[int, str]:
    """Return the next line and its number, or raise a DataError that tells what it should be."""
    found = next(lines, None)
    if found is None:
        raise DataError(f"{path}: the file ends where {what} should be. Is it complete?")
    return found


def read_count(path: str, lines: Lines, what: str) -> int:
    """Return the whole number of the next line, or raise a DataError."""
    number, text = next_line(path, lines, what)
    if not is_count(text):
        raise DataError(f"{path}:{number}: found {text[:100]!r}, expected {what}, a whole number.")
    return int(text)


def _rows(path: str, lines: Lines, n: int) -> NDArray[np.float64]:
    """Return n windows, shape (n, 6)."""
    found = [next_line(path, lines, f"window {i + 1} of {n}") for i in range(n)]
    words = [line.split() for _, line in found]
    try:
        rows = np.array(words, np.float64).reshape(n, _FIELDS)
    except ValueError:
        rows = None
    if rows is None:
        number, line = next(f for f, w in zip(found, words, strict=True) if not _is_window(w))
        raise DataError(_wrong_window(path, number, line))
    label, _, x1, y1, x2, y2 = rows.T
    wrong = (x1 > x2) | (y1 > y2) | (label < 0) | (rows != np.rint(rows))[:, [0, 2, 3, 4, 5]].any(1)
    wrong |= ~(np.abs(rows) < _LIMIT).all(1)  # infinity and NaN as well
    if wrong.any():
        raise DataError(_wrong_window(path, *found[int(wrong.argmax())]))
    return rows


def _is_window(words: list[str]) -> bool:
    try:
        return len([float(word) for word in words]) == _FIELDS
    except ValueError:
        return False


def _wrong_window(path: str, number: int, line: str) -> str:
    return (
        f"{path}:{number}: {line[:200]!r} is no window; a window is CLASS OVERLAP X1 Y1 X2 Y2, "
        "whole numbers below 2^31 except for OVERLAP, with CLASS >= 0, X1 <= X2 and Y1 <= Y2."
        f"{separator_hint(line)}"
    )
