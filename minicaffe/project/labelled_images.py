"""Images with classes: from a folder for each class, or from a table (CSV)."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from minicaffe.data.preparation import find_images, is_image_name
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.path_hints import not_found
from minicaffe.runs.natural_order import natural_key
from minicaffe.text_file import read_text

_TABLES = (".csv", ".tsv")
_PATH_NAMES = ("path", "image", "file", "filename", "name")
_CLASS_NAMES = ("class", "label", "category")
# Photos and drawings that another program has to convert.
_UNREAD_TYPES = {".heic", ".heif", ".avif", ".jxl", ".raw", ".dng", ".cr2", ".nef", ".arw", ".orf"}
_UNREAD_TYPES |= {".svg", ".pdf", ".psd", ".mp4", ".mov", ".npy"}
# Folders of data sets that were split before.
_PARTS = {"train", "training", "val", "valid", "validation", "test"}


@dataclass(frozen=True)
class LabelledImages:
    """Images below a folder, with their classes.

    Parameters
    ----------
    source : str
        The folder or the table.
    root : Path
        The folder that paths of images are relative to.
    classes : sequence of str
        Names; the position of a name is the label.
    images : sequence of (str, int)
        Path below the root, and label.
    """

    source: str
    root: Path
    classes: Sequence[str]
    images: Sequence[tuple[str, int]]

    def of(self, label: int) -> list[str]:
        """Return the paths of the images of a class."""
        return self._by_label[label]

    @cached_property
    def _by_label(self) -> list[list[str]]:
        found: list[list[str]] = [[] for _ in self.classes]
        for path, label in self.images:
            found[label].append(path)
        return found


def find_labelled_images(source: str) -> LabelledImages:
    """Return the images of a folder of class folders, or of a table with the columns path, class.

    Raises
    ------
    DataError
        If there are no such files, or fewer than two classes.
    """
    path = Path(source)
    if not path.exists():
        raise DataError(not_found(source, "folder or table"))
    if path.is_dir():
        root, found = path, _in_folders(path)
        rule = "Give a folder that has a folder of images for each class"
    elif path.suffix.lower() in _TABLES:
        root, found = path.parent, _in_table(path)
        rule = "Give a table of at least two classes"
    else:
        raise DataError(
            f"{source}: neither a folder nor a table. Give a folder that has a folder of images "
            f"for each class, or a {' or '.join(_TABLES)} file with the columns path and class"
        )
    classes = sorted({name for _, name in found}, key=natural_key)
    if len(classes) < 2:
        names = f"one class, {classes[0]!r}" if classes else "no class"
        if path.is_dir() and not classes and _is_image_there(path):
            names = "images, but no folder for each class"
        raise DataError(f"{source}: has {names}; a net tells at least two apart. {rule}.")
    labels = {name: label for label, name in enumerate(classes)}
    return LabelledImages(source, root, classes, [(path, labels[name]) for path, name in found])


def _is_image_there(folder: Path) -> bool:
    return any(is_image_name(entry.name) for entry in folder.iterdir())


def _in_folders(root: Path) -> list[tuple[str, str]]:
    folders = sorted(
        entry
        for entry in root.iterdir()
        if entry.is_dir() and not entry.name.startswith((".", "_"))
    )
    parts = [folder.name for folder in folders if folder.name.lower() in _PARTS]
    if parts and len(parts) == len(folders):
        raise DataError(
            f"{root}: {', '.join(parts)} are parts of a data set, not classes. Give one of them "
            f"({root / parts[0]}); --split divides its images, and `predict` classifies the others"
        )
    found: list[tuple[str, str]] = []
    for folder in folders:
        try:
            inside = find_images([str(folder)])
        except DataError:
            logger.warning(f"{folder}: no images in this folder; it is left out")
            continue
        found += [(os.path.relpath(path, root), folder.name) for path in inside]
    _warn_of_other_types(folders)
    return found


def _warn_of_other_types(folders: Iterable[Path]) -> None:
    """Warn of files that look like images of a type that is not read, such as photos in HEIC."""
    suffixes = Counter(
        suffix
        for folder in folders
        for path in folder.rglob("*")
        if (suffix := path.suffix.lower()) in _UNREAD_TYPES and not path.name.startswith(".")
    )
    if suffixes:
        listed = ", ".join(f"{n} {suffix}" for suffix, n in sorted(suffixes.items()))
        logger.warning(f"left out, because files of this type are not read: {listed}. Convert them")


def _in_table(path: Path) -> list[tuple[str, str]]:
    text = read_text(path, "the table", rule="a line is a path and a class")
    first = text.partition("\n")[0]
    mark = next((mark for mark in ("\t", ";", ",") if mark in first), ",")
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=mark) if any(row)]
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    has_head = any(name in head for name in _PATH_NAMES) or any(n in head for n in _CLASS_NAMES)
    at = [_column(head, names, k) for k, names in enumerate((_PATH_NAMES, _CLASS_NAMES))]
    found = []
    for number, row in enumerate(rows[has_head:], start=1 + has_head):
        if len(row) <= max(at) or not row[at[0]].strip() or not row[at[1]].strip():
            raise DataError(
                f"{path}:{number}: {mark.join(row)!r}; a line is a path and a class, separated by "
                f"{mark!r}, and the first line may name the columns path and class."
            )
        found.append((row[at[0]].strip(), row[at[1]].strip()))
    if not found:
        raise DataError(f"{path}: the table is empty; a line is a path and a class.")
    return found


def _column(head: Sequence[str], names: Sequence[str], default: int) -> int:
    return next((head.index(name) for name in names if name in head), default)
