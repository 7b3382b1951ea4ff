"""Names of classes from a file: one a line, or a label map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from minicaffe.data.annotations.label_map import read_label_map
from minicaffe.log import logger
from minicaffe.text_file import read_text


def read_names(path: str) -> list[str]:
    """Return the lines of a file with the names of classes."""
    return read_text(path, "the labels", rule="class names are one a line").rstrip("\n").split("\n")


class ClassNames:
    """Names of labels, where a file gives them.

    Parameters
    ----------
    path : str
        A text with the name of label 0, 1, 2 and so on, one a line; or a label map (.prototxt); or
        "" for no names.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._names: Mapping[int, str] = {}
        if Path(path).suffix == ".prototxt":
            items = read_label_map(path)
            self._names = {item.label: item.display_name or item.name for item in items}
        elif path:
            self._names = dict(enumerate(read_names(path)))

    def __getitem__(self, label: int) -> str:
        """Return the name of a label; the number itself without a name."""
        return self._names.get(label, str(label))

    def warn_of_missing(self, labels: Iterable[int]) -> None:
        """Warn if the file has no names for some of these labels."""
        missing = sorted(set(labels) - set(self._names)) if self._path else []
        if missing:
            logger.warning(
                f"{self._path}: label {missing[0]} has no name, and {len(missing) - 1} others have "
                f"none: the file has {len(self._names)} names. They are shown as numbers."
                if len(missing) > 1
                else f"{self._path}: label {missing[0]} has no name: the file has "
                f"{len(self._names)} names. It is shown as a number."
            )
