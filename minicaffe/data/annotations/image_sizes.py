"""Lists of names and sizes of test images, as SSD's name_size_file has them."""

from __future__ import annotations

from typing import NamedTuple

from minicaffe.errors import DataError
from minicaffe.text_file import ForeignBytes, read_text

_RULE = "a line is the name of an image, its height and its width in pixels"


class NamedSize(NamedTuple):
    """Name, rows and columns of an image."""

    name: str
    height: int
    width: int


def read_image_sizes(path: str) -> list[NamedSize]:
    """Read a list: `000001 500 353` for each image, in the order of the test data.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, or a line is wrong.
    """
    sizes = []
    text = read_text(path, "the sizes of the images", ForeignBytes.ESCAPE, _RULE)
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.rsplit(maxsplit=2)
        if not words:
            continue
        if len(words) != 3 or not all(word.isdecimal() and int(word) for word in words[1:]):
            raise DataError(f"{path}:{number}: {line.strip()!r}; {_RULE}.")
        sizes.append(NamedSize(words[0], int(words[1]), int(words[2])))
    if not sizes:
        raise DataError(f"{path}: the list is empty; {_RULE}.")
    return sizes
