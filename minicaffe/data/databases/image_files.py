"""Export of a database to image files in a folder for each class, with a list of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicaffe.data.class_names import ClassNames
from minicaffe.data.databases.stored_record import StoredRecord, parse_record
from minicaffe.data.datum import ImageArray
from minicaffe.data.db import Database, printable
from minicaffe.data.image import encode_image
from minicaffe.data.ordered_pool import mapped_in_order
from minicaffe.errors import DataError

LIST_FILE = "list.txt"
_ODD = re.compile(
    r"[^\w.-]+"
)  # characters that names of files and columns of lists had better lack
_MOST_CHARACTERS = 120  # of the name of a file
_OF_BOXES = "images"  # the folder of images with boxes


class _ImageFile(NamedTuple):
    """The content of an image file; its label is None if it has boxes, the lines of a text."""

    key: bytes
    extension: str
    content: bytes
    label: int | None
    boxes: str


def _image_file(key: bytes, value: bytes, where: str) -> _ImageFile:
    """Return a record as an image file: its own bytes, or a PNG of raw values."""
    record = parse_record(key, value, where)
    image = record.image.decode(None, where)
    if record.image.is_encoded:
        extension, content = record.file_format[1], bytes(record.image.data)
    else:
        extension, content = "png", encode_image(_storable(image, where), "png")
    label = record.image.label if record.objects is None else None
    return _ImageFile(key, extension, content, label, _box_lines(record, image.shape))


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
        """Write every record and the list; images are encoded on all cores.

        Raises
        ------
        DataError
            If a record cannot be decoded, or no image file can store its values.
        """

        def convert(item: tuple[bytes, bytes]) -> _ImageFile:
            return _image_file(*item, f"{database.path}, key {printable(item[0])}")

        with (self._folder / LIST_FILE).open("w", encoding="utf-8") as lines:
            for _, future in mapped_in_order(convert, items):
                lines.write(f"{self._write(future.result())}\n")
                self.n_written += 1

    def _write(self, file: _ImageFile) -> str:
        """Write an image; return its line of the list."""
        label = file.label
        folder = _OF_BOXES if label is None else _plain(self._names[label])
        path = self._new_path(folder, file.key, file.extension)
        path.write_bytes(file.content)
        name = path.relative_to(self._folder).as_posix()
        if label is not None:
            return f"{name} {label}"
        boxes = path.with_suffix(".txt")
        boxes.write_text(file.boxes)
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
