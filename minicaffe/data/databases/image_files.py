"""Export of a database to image files in a folder for each class, with a list of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from minicaffe.data.class_names import ClassNames
from minicaffe.data.databases.stored_record import StoredRecord, read_record
from minicaffe.data.datum import ImageArray
from minicaffe.data.db import Database, printable
from minicaffe.data.image import encode_image
from minicaffe.errors import DataError

LIST_FILE = "list.txt"
_ODD = re.compile(
    r"[^\w.-]+"
)  # characters that names of files and columns of lists had better lack
_MOST_CHARACTERS = 120  # of the name of a file
_OF_BOXES = "images"  # the folder of images with boxes


class ImageExport:
    """Writes images to a folder.

    Parameters
    ----------
    folder : str
        Exists, and is empty.
    names : ClassNames
        Names of the folders; without a name a folder is called by the label.

    Attributes
    ----------
    n_written : int
    """

    def __init__(self, folder: str, names: ClassNames) -> None:
        self._folder, self._names = Path(folder), names
        self.n_written = 0

    def write_all(self, database: Database, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Write every record and the list.

        Raises
        ------
        DataError
            If a record cannot be decoded, or no image file can store its values.
        """
        with (self._folder / LIST_FILE).open("w", encoding="utf-8") as lines:
            for key, value in items:
                where = f"{database.path}, key {printable(key)}"
                record = read_record(key, value, where)
                lines.write(f"{self._write(record, where)}\n")
                self.n_written += 1

    def _write(self, record: StoredRecord, where: str) -> str:
        """Write a record; return its line of the list."""
        image = record.image.decode(None, where)
        extension = record.file_format[1] or "png"
        content = bytes(record.image.data)
        if not record.image.is_encoded:
            content = encode_image(_storable(image, where), "png")
        label = record.image.label
        folder = _OF_BOXES if record.objects is not None else _plain(self._names[label])
        path = self._new_path(folder, record.key, extension)
        path.write_bytes(content)
        name = path.relative_to(self._folder).as_posix()
        if record.objects is None:
            return f"{name} {label}"
        boxes = path.with_suffix(".txt")
        boxes.write_text(_box_lines(record, image.shape))
        return f"{name} {boxes.relative_to(self._folder).as_posix()}"

    def _new_path(self, folder: str, key: bytes, extension: str) -> Path:
        """Return a path in a class folder that no other image has."""
        (self._folder / folder).mkdir(exist_ok=True)
        stem = _plain(key.decode("utf-8", "replace"))
        given = Path(stem)
        if given.suffix.lower() in (".jpg", ".jpeg", ".png", f".{extension}"):
            stem = given.stem
        stem = stem[-_MOST_CHARACTERS:]
        path = self._folder / folder / f"{stem}.{extension}"
        if path.exists():
            path = path.with_name(f"{stem}_{self.n_written}.{extension}")
        return path


def _plain(text: str) -> str:
    """Return a text as a name of a file or folder."""
    return _ODD.sub("_", text).strip("._") or "unnamed"


def _storable(image: ImageArray, where: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return an image as uint8 if an image file can store it."""
    pixels = image.astype(np.uint8) if _are_bytes(image) else None
    if pixels is not None and len(pixels) in (1, 3):
        return pixels
    found = f"{len(image)} channels" if pixels is not None else "values that are not 0, 1, ..., 255"
    raise DataError(
        f"{where}: the image has {found}; image files store 1 or 3 channels of whole numbers from "
        "0 to 255. Read such a database in Python (caffe.io.datum_to_array)."
    )


def _are_bytes(image: ImageArray) -> bool:
    if image.dtype == np.uint8:
        return True
    return bool(np.isfinite(image).all() and (image == image.round().clip(0, 255)).all())


def _box_lines(record: StoredRecord, shape: tuple[int, ...]) -> str:
    """Return the boxes as convert_annoset reads them: label xmin ymin xmax ymax, pixels."""
    _, rows, columns = shape
    lines = []
    for label, _, xmin, ymin, xmax, ymax, _ in () if record.objects is None else record.objects:
        sides = (xmin * columns, ymin * rows, xmax * columns, ymax * rows)
        lines.append(" ".join([f"{label:.0f}", *(f"{side:.6g}" for side in sides)]))
    return "".join(f"{line}\n" for line in lines)
