"""Records of a database of AnnotatedDatum messages."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.annotations.annotated_datum import read_annotated_datum
from minicaffe.data.datum import ImageArray
from minicaffe.data.records.database import DatabaseRecords, DatumRecord

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


class AnnotatedRecords(DatabaseRecords):
    """Reads a database of AnnotatedDatum messages in the order of its keys; see `DatabaseRecords`.

    Raises
    ------
    DataError
        If the database cannot be opened or is empty.
    """

    size_advice = "resize_param in transform_param, a crop, or batch_size: 1"

    def peek(self) -> AnnotatedRecord:
        """Return the record of the cursor."""
        cursor = self._cursor
        stored, objects = self._read(read_annotated_datum, cursor.value, cursor)
        image = DatumRecord(self._path, cursor.key, stored, self._color)
        return AnnotatedRecord(image, objects)

    def take_annotated(self, n: int) -> list[AnnotatedRecord]:
        """Return the next n records.

        Raises
        ------
        DataError
            If one is not an AnnotatedDatum.
        """
        records = []
        for _ in range(n):
            records.append(self.peek())
            self._advance()
        self._taken += n
        return records
