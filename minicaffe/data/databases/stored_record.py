"""Records of databases of either kind, Datum and AnnotatedDatum, told apart by their bytes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.annotations.annotated_datum import read_annotated_datum
from minicaffe.data.datum import StoredImage, read_datum

# The first field of an AnnotatedDatum is a message; that of a Datum, with the same number, is not.
_FIRST_BYTE_OF_ANNOTATED = b"\x0a"

# First bytes of image files: name of the format and extension.
_FORMATS = {
    b"\xff\xd8\xff": ("JPEG", "jpg"),
    b"\x89PNG": ("PNG", "png"),
    b"BM": ("BMP", "bmp"),
    b"GIF8": ("GIF", "gif"),
    b"RIFF": ("WebP", "webp"),
    b"II*\x00": ("TIFF", "tif"),
    b"MM\x00*": ("TIFF", "tif"),
}


class StoredRecord(NamedTuple):
    """A record of a database.

    Parameters
    ----------
    key : bytes
    image : StoredImage
    objects : ndarray, float32, (n, 7), or None
        See `OBJECT_COLUMNS`; None without boxes.
    is_annotated : bool
        Whether the record is an AnnotatedDatum.
    """

    key: bytes
    image: StoredImage
    objects: NDArray[np.float32] | None
    is_annotated: bool

    @property
    def kind(self) -> str:
        """The name of the message."""
        return "AnnotatedDatum" if self.is_annotated else "Datum"

    @property
    def label(self) -> int:
        """The label of the image; of one with boxes, the label of the first (-1 without any)."""
        if self.objects is None:
            return self.image.label
        return int(self.objects[0, 0]) if len(self.objects) else -1

    @property
    def file_format(self) -> tuple[str, str]:
        """Name and extension of the format of an encoded image; empty for raw values."""
        if not self.image.is_encoded:
            return "", ""
        begin = bytes(self.image.data[:4])
        found = (names for head, names in _FORMATS.items() if begin.startswith(head))
        return next(found, ("other files", "bin"))

    @property
    def encoding(self) -> str:
        """How the image is stored."""
        if self.image.is_encoded:
            return self.file_format[0]
        return "floats" if self.image.floats is not None else "bytes"


def parse_record(key: bytes, value: bytes, where: object) -> StoredRecord:
    """Parse a record.

    Raises
    ------
    DataError
        If the bytes are neither message; the ``str`` of `where` names database and key.
    """
    if not value.startswith(_FIRST_BYTE_OF_ANNOTATED):
        return StoredRecord(key, read_datum(value, where), None, False)
    image, objects = read_annotated_datum(value, where)
    return StoredRecord(key, image, objects, True)
