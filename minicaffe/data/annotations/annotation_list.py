"""Lists of images and the files with their boxes."""

from __future__ import annotations

from typing import NamedTuple

from minicaffe.errors import DataError
from minicaffe.text_file import ForeignBytes, read_text

_RULE = "a line of a list is the path of an image, a space, and the path of the file with its boxes"


class ListedAnnotation(NamedTuple):
    """One line of a list: the path of an image, and that of its boxes."""

    name: str
    annotation: str

    @property
    def label(self) -> None:
        """None, because the image has boxes instead."""


def read_annotation_list(path: str) -> list[ListedAnnotation]:
    """Read a list. Paths of images may hold spaces; blank lines do not count.

    Raises
    ------
    DataError
        If the list cannot be read, is empty, or a line is wrong.
    """
    entries = []
    lines = read_text(path, "the list", ForeignBytes.ESCAPE, _RULE).split("\n")
    for number, line in enumerate(lines, start=1):
        name, _, annotation = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if not name:
            raise DataError(f"{path}:{number}: {line.strip()!r}; {_RULE}.")
        entries.append(ListedAnnotation(name.rstrip(), annotation))
    if not entries:
        raise DataError(f"{path}: the list is empty; {_RULE}.")
    return entries
