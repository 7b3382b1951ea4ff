"""Images at equal distances in a database, decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.databases.stored_record import parse_record
from minicaffe.data.datum import ImageArray
from minicaffe.data.db import Database, printable
from minicaffe.errors import DataError
from minicaffe.log import logger


class SampledImage(NamedTuple):
    """A decoded image of a database.

    Parameters
    ----------
    key : bytes
    label : int
        Of the image as a whole.
    image : ndarray, shape (channels, rows, columns)
        uint8 or float32.
    objects : ndarray, float32, (n, 7), or None
        See `OBJECT_COLUMNS`; None for an image with a label only.
    """

    key: bytes
    label: int
    image: ImageArray
    objects: NDArray[np.float32] | None

    @property
    def labels(self) -> list[int]:
        """The labels of the objects, or that of the image."""
        if self.objects is None:
            return [self.label]
        return [int(label) for label in self.objects[:, 0]]


def sample_of(database: Database, n: int, wanted: int) -> Iterator[SampledImage]:
    """Yield images at equal distances, from the first record on; damaged records are left out.

    Parameters
    ----------
    database : Database
    n : int
        Its number of records.
    wanted : int
        How many records to take.
    """
    cursor, at = database.cursor(), 0
    for number in sorted({k * n // wanted for k in range(wanted)} if n > wanted else range(n)):
        for _ in range(number - at):
            cursor.advance()
        at = number
        key, where = cursor.key, f"{database.path}, key {printable(cursor.key)}"
        try:
            record = parse_record(key, bytes(cursor.value), where)
            image = record.image.decode(None, where).copy()
        except DataError as error:
            logger.warning(f"left out: {error}")
            continue
        yield SampledImage(key, record.image.label, image, record.objects)
    cursor.close()
