"""Contents of a database: classes, sizes, encodings, values, repeated images, damaged records.

Records are read in a stream and decoded on all cores. Of each record 16 bytes stay in memory.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from minicaffe.data.annotations.object_box import unusual_box
from minicaffe.data.databases.stored_record import StoredRecord, parse_record
from minicaffe.data.db import Database, printable
from minicaffe.data.ordered_pool import mapped_in_order
from minicaffe.data.survey import DatasetSurvey
from minicaffe.errors import DataError

_CHUNK = 16  # records that a thread decodes at once, because most are small
_BOX_COLUMNS = slice(2, 6)


class RecordFacts(NamedTuple):
    """What the report has of a record.

    Parameters
    ----------
    key : bytes
    problem : str
        Why it cannot be decoded; "" if it can. The rest is then as in a record without an image.
    record : StoredRecord or None
        Without the bytes of the image.
    shape : tuple of int
    low, high, mean : float
        Of the finite values.
    is_finite : bool
        Whether all values are.
    digest : int
        64 bits of a hash of the image's bytes.
    """

    key: bytes
    problem: str
    record: StoredRecord | None = None
    shape: tuple[int, ...] = ()
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    is_finite: bool = True
    digest: int = 0


def facts_of(key: bytes, value: bytes, path: str) -> RecordFacts:
    """Decode a record of the database `path` and return what is found."""
    where = f"{path}, key {printable(key)}"
    try:
        record = parse_record(key, value, where)
        image = record.image.decode(None, where)
    except DataError as error:
        return RecordFacts(key, str(error), digest=_digest(value))
    finite, is_finite = image, True
    if record.image.floats is not None:
        finite = image[np.isfinite(image)]
        is_finite = finite.size == image.size
        digest = _digest(record.image.floats.tobytes())
    else:
        digest = _digest(record.image.data)
    light = record._replace(image=record.image._replace(data=bytes(record.image.data[:4])))
    if record.image.floats is not None:
        light = light._replace(image=light.image._replace(floats=record.image.floats[:0]))
    low, high, mean = (
        (float(finite.min()), float(finite.max()), float(finite.mean(dtype=np.float64)))
        if finite.size
        else (0.0, 0.0, 0.0)
    )
    return RecordFacts(key, "", light, image.shape, low, high, mean, is_finite, digest)


def _digest(content: bytes | memoryview) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def read_facts(items: Iterable[tuple[bytes, bytes]], path: str) -> Iterator[RecordFacts]:
    """Yield the facts of the records of a database in order, decoded on all cores."""

    def read(chunk: list[tuple[bytes, bytes]]) -> list[RecordFacts]:
        return [facts_of(key, value, path) for key, value in chunk]

    rest = iter(items)
    chunks = iter(lambda: list(islice(rest, _CHUNK)), [])
    for _, future in mapped_in_order(read, chunks):
        yield from future.result()


class Repeats(NamedTuple):
    """Images that occur more than once.

    Parameters
    ----------
    n_records : int
        Number of records whose image an earlier record has.
    n_other_labels : int
        How many of these have another label.
    example : tuple of int or None
        Numbers of two records with one image, if possible with different labels.
    """

    n_records: int = 0
    n_other_labels: int = 0
    example: tuple[int, int] | None = None


class DatabaseContents:
    """Totals of the records of a database.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    n_records, n_damaged, n_not_finite : int
    damaged : list of str
        The messages about the first damaged records.
    kinds, encodings : Counter of str
    images : DatasetSurvey
        Labels, boxes and shapes of the images.
    n_without_boxes, n_unusual_boxes : int
        Of the images that can have boxes, and of all boxes.
    low, high, mean : float
        Of the values of all images; the mean is that of the means of the images.
    """

    MOST_MESSAGES = 5

    def __init__(self, path: str) -> None:
        self.n_records = self.n_damaged = self.n_not_finite = 0
        self.damaged: list[str] = []
        self.kinds: Counter[str] = Counter()
        self.encodings: Counter[str] = Counter()
        self.images = DatasetSurvey(path)
        self.n_without_boxes = self.n_unusual_boxes = 0
        self.low, self.high, self._sum_of_means = np.inf, -np.inf, 0.0
        self._digests, self._labels = array("Q"), array("q")

    def add(self, facts: RecordFacts) -> None:
        """Count one record."""
        record = facts.record
        self.n_records += 1
        self._digests.append(facts.digest)
        self._labels.append(record.label if record else -1)
        if record is None:
            self.n_damaged += 1
            if len(self.damaged) < self.MOST_MESSAGES:
                self.damaged.append(facts.problem)
            return
        self.kinds[record.kind] += 1
        self.encodings[record.encoding] += 1
        self.n_not_finite += not facts.is_finite
        self.low, self.high = min(self.low, facts.low), max(self.high, facts.high)
        self._sum_of_means += facts.mean
        if record.objects is None:
            self.images.add(record.image.label, facts.shape)
            return
        self.images.add_boxes(record.objects[:, 0].astype(int).tolist(), facts.shape)
        self.n_without_boxes += not len(record.objects)
        for xmin, ymin, xmax, ymax in record.objects[:, _BOX_COLUMNS].tolist():
            self.n_unusual_boxes += bool(unusual_box((xmin, ymin, xmax, ymax)))

    @property
    def mean(self) -> float:
        """The mean of the means of the images."""
        return self._sum_of_means / max(self.n_records - self.n_damaged, 1)

    def repeats(self) -> Repeats:
        """Return which images occur more than once."""
        digests = np.array(self._digests, np.uint64)
        labels = np.array(self._labels, np.int64)
        order = np.argsort(digests, kind="stable")
        is_repeat = digests[order[1:]] == digests[order[:-1]]
        differs = is_repeat & (labels[order[1:]] != labels[order[:-1]])
        found = np.flatnonzero(differs if differs.any() else is_repeat)
        example = None
        if len(found):
            pair = found[np.argmin(order[found + 1])]
            example = int(order[pair]), int(order[pair + 1])
        return Repeats(int(is_repeat.sum()), int(differs.sum()), example)


def keys_at(database: Database, numbers: tuple[int, ...]) -> list[bytes]:
    """Return the keys of the records with these numbers, which must ascend."""
    cursor, at = database.cursor(), 0
    keys = []
    for number in numbers:
        for _ in range(number - at):
            cursor.advance()
        at = number
        keys.append(cursor.key)
    cursor.close()
    return keys
