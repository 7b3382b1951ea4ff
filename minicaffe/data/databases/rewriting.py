"""Records of new databases that are made from others: merged, divided, in a random order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.databases.stored_record import parse_record
from minicaffe.data.db import Database, printable
from minicaffe.data.survey import DatasetSurvey
from minicaffe.errors import DataError
from minicaffe.random import RandomStream

_NUMBER = re.compile(rb"^[0-9]{5,8}(_|$)")  # of keys as converters write them
_LONGEST_KEY = 511  # bytes, of LMDB


def numbered(number: int, key: bytes) -> bytes:
    """Return a key with another number in front, as convert_imageset writes keys.

    The order of records is that of their keys. A key of a converter has its number replaced; any
    other key is kept after the number, up to the longest key that LMDB can store.
    """
    name = _NUMBER.sub(b"", key)
    return (b"%08d_%s" % (number, name))[:_LONGEST_KEY] if name else b"%08d" % number


def merged(databases: Iterable[Database], survey: DatasetSurvey) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of databases one after the other, with new keys in this order.

    Parameters
    ----------
    databases : iterable of Database
    survey : DatasetSurvey
        Counts the images whose shape is known without decoding them.

    Raises
    ------
    DataError
        If some records are annotated and others are not.
    """
    number, first = 0, ("", "")
    for database in databases:
        for key, value in database.items():
            where = f"{database.path}, key {printable(key)}"
            record = parse_record(key, value, where)
            kind = record.kind
            if record.objects is None and not record.image.is_encoded:
                survey.add(record.label, record.image.shape)
            if first[0] not in ("", kind):
                raise DataError(
                    f"{where}: the record is of type {kind}, but {first[1]} has records of type "
                    f"{first[0]}; no layer reads both. Merge databases of one type."
                )
            first = first if first[0] else (kind, database.path)
            yield numbered(number, key), value
            number += 1


def shuffled(database: Database, seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records in a random order, with new keys in this order; keeps the old ones."""
    keys = [key for key, _ in database.items()]
    order = RandomStream(seed, "db shuffle").generator().permutation(len(keys))
    cursor = database.cursor()
    for number, index in enumerate(order.tolist()):
        cursor.seek(keys[index])
        yield numbered(number, keys[index]), bytes(cursor.value)
    cursor.close()


def labels_of(database: Database, items: Iterable[tuple[bytes, bytes]]) -> NDArray[np.int64]:
    """Return the label of every record; of an image with boxes, that of its first box."""
    labels = (
        parse_record(key, value, f"{database.path}, key {printable(key)}").label
        for key, value in items
    )
    return np.fromiter(labels, np.int64)


def stratified_parts(
    labels: NDArray[np.int64], shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Divide records at random, so that every class and the whole have the proportions asked for.

    The records are ordered by class, at random within a class, and each goes to the part that lacks
    most. Every part therefore has its share of every run of records, to within one or two.

    Parameters
    ----------
    labels : ndarray of int64, shape (records,)
    shares : sequence of float
        Sizes of the parts, in proportion.
    seed : int

    Returns
    -------
    ndarray of int64, shape (records,)
        Number of the part of each record.
    """
    random = RandomStream(seed, "db split").generator().permutation(len(labels))
    order = random[np.argsort(labels[random], kind="stable")]
    fractions = [share / sum(shares) for share in shares]
    given = [0] * len(shares)
    parts = np.empty(len(labels), np.int64)
    for position, index in enumerate(order.tolist(), start=1):
        lacking = [position * f - g for f, g in zip(fractions, given, strict=True)]
        part = lacking.index(max(lacking))
        given[part] += 1
        parts[index] = part
    return parts
