"""Parser of MS-CNN's window files: images with the boxes of objects, and regions to leave out.

A file consists of blocks::

    # INDEX
    path/of/the/image.jpg
    CHANNELS
    ROWS
    COLUMNS
    NUMBER OF OBJECTS
    CLASS IGNORED X1 Y1 X2 Y2
    ...
    NUMBER OF REGIONS
    X1 Y1 X2 Y2
    ...

IGNORED is 1 for objects that are not trained on, else 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.records.window_file import Lines, next_line, numbered_lines, read_count
from minicaffe.errors import DataError

_SIZES = ("channels", "rows", "columns")


@dataclass(frozen=True)
class BoxedImage:
    """An image of a file.

    Parameters
    ----------
    path : str
        As the file has it.
    objects : ndarray, float, shape (n, 6)
        Class, ignored, x1, y1, x2, y2.
    regions : ndarray, float, shape (m, 4)
        x1, y1, x2, y2.
    """

    path: str
    objects: NDArray[np.float64]
    regions: NDArray[np.float64]


def read_box_file(path: str) -> list[BoxedImage]:
    """Read a window file of MS-CNN.

    Raises
    ------
    DataError
        If it cannot be read, is empty, or at its first line that breaks the format.
    """
    images = list(_images(path, numbered_lines(path)))
    if not images:
        raise DataError(f'{path}: the window file is empty; it begins with "# 0".')
    return images


def _images(path: str, lines: Lines) -> Iterator[BoxedImage]:
    for number, line in lines:
        if not line.startswith("#"):
            raise DataError(
                f'{path}:{number}: found {line[:200]!r}, expected "# INDEX", which begins the next '
                "image. Do the numbers of objects and regions of the image before agree?"
            )
        _, name = next_line(path, lines, "the path of an image")
        for what in _SIZES:
            read_count(path, lines, what)
        objects = _rows(path, lines, "object", 6)
        if (objects[:, 0] < 1).any():
            raise DataError(f"{path}: an object of {name} has a class below 1.")
        yield BoxedImage(name, objects, _rows(path, lines, "region", 4))


def _rows(path: str, lines: Lines, noun: str, values: int) -> NDArray[np.float64]:
    """Return rows of numbers, whose count comes first."""
    n, rows = read_count(path, lines, f"the number of {noun}s"), []
    for k in range(n):
        number, line = next_line(path, lines, f"{noun} {k + 1} of {n}")
        try:
            rows.append(np.array(line.split(), np.float64).reshape(values))
        except ValueError as error:
            raise DataError(
                f"{path}:{number}: found {line[:200]!r}, expected the {values} numbers of {noun} "
                f"{k + 1} of {n}."
            ) from error
    return np.array(rows).reshape(n, values)
