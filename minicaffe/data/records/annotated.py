"""Records of a database of AnnotatedDatum messages."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.annotations.annotated_datum import read_annotated_datum
from minicaffe.data.datum import ImageArray
from minicaffe.data.db import RecordCursor
from minicaffe.data.records.database import DatumRecord

Floats = NDArray[np.float32]


class AnnotatedRecord(NamedTuple):
    """An image of a database with its objects; see `Record`.

    Parameters
    ----------
    image : DatumRecord
    objects : ndarray, float32, (n, 7), or None
        See `OBJECT_COLUMNS`; None if the image has a label only.
    """

    image: DatumRecord
    objects: Floats | None

    @property
    def key(self) -> bytes:
        """The key in the database."""
        return self.image.key

    @property
    def label(self) -> float:
        """The label of the image as a whole."""
        return self.image.label

    @property
    def is_encoded(self) -> bool:
        """Whether the image is the content of a file."""
        return self.image.is_encoded

    def load(self) -> ImageArray:
        """Return the image."""
        return self.image.load()

    def __str__(self) -> str:
        return str(self.image)


def annotated_record(path: str, cursor: RecordCursor, color: bool | None) -> AnnotatedRecord:
    """Return the AnnotatedDatum under a cursor as a record.

    Raises
    ------
    DataError
        If it is none.
    """
    stored, objects = read_annotated_datum(cursor.value, cursor)
    return AnnotatedRecord(DatumRecord(path, cursor.key, stored, color), objects)
