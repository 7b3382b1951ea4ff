"""Lists of images as arguments of commands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from minicaffe.errors import DataError
from minicaffe.text_file import ForeignBytes, read_text

_LISTS = (".txt", ".lst", ".list")
_LABEL = re.compile(r"\s+[+-]?[0-9]+\s*$")


def is_list(path: str) -> bool:
    """Return whether a path has the name of a list."""
    return Path(path).suffix.lower() in _LISTS


def expand_lists(paths: Sequence[str], root: str = "") -> list[str]:
    """Return paths with those in lists in place of the lists, which end in .txt, .lst or .list.

    A line of a list is a path, maybe with a label behind it.

    Parameters
    ----------
    paths : sequence of str
    root : str
        The folder that paths in lists are relative to; by default the list's own folder, or the
        working directory.

    Raises
    ------
    DataError
        If a list cannot be read or is empty.
    """
    found: list[str] = []
    for path in paths:
        if not is_list(path):
            found.append(path)
            continue
        text = read_text(path, "the list", ForeignBytes.ESCAPE, "a line is a path")
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        if not lines:
            raise DataError(f"{path}: the list is empty; a line is the path of an image.")
        folders = [Path(root)] if root else [Path(path).parent, Path()]
        found += [_located(line, folders) for line in lines]
    return found


def _located(line: str, folders: Sequence[Path]) -> str:
    """Return the path of a line; the first that exists."""
    names = dict.fromkeys((line, _LABEL.sub("", line)))
    candidates = [folder / name for name in names for folder in folders]
    return str(next((path for path in candidates if path.exists()), folders[0] / [*names][-1]))
