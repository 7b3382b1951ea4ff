"""Records of an LMDB or LevelDB of Datum messages."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple, TypeAlias

from minicaffe.data.datum import ImageArray, StoredImage, read_datum
from minicaffe.data.db import RecordCursor, open_database, printable
from minicaffe.data.records.base import RESTART, Record, RecordPosition, RecordSource
from minicaffe.data.records.listed import ListedRecords
from minicaffe.fatal_signals import reading
from minicaffe.log import log_repetition
from minicaffe.random import RandomStream


class DatumRecord(NamedTuple):
    """A Datum of a database; see `Record`.

    Parameters
    ----------
    path : str
        The database's folder.
    key : bytes
    stored : StoredImage
        May be a view of the database.
    color : bool or None
        What an encoded image is converted to; see `decode_image`.
    """

    path: str
    key: bytes
    stored: StoredImage
    color: bool | None

    @property
    def label(self) -> float:
        """The label."""
        return self.stored.label

    @property
    def is_encoded(self) -> bool:
        """Whether the image is the content of a file: raw values need no decoding."""
        return self.stored.is_encoded

    def load(self) -> ImageArray:
        """Return the image."""
        return reading(self.path)(self.stored.decode, self.color, self)

    def __str__(self) -> str:
        return f"{self.path}, key {printable(self.key)}"


# Returns the record of the value under a cursor, from the database's path, the cursor and `color`.
ReadRecord: TypeAlias = Callable[[str, RecordCursor, bool | None], Record]


def datum_record(path: str, cursor: RecordCursor, color: bool | None) -> DatumRecord:
    """Return the Datum under a cursor as a record."""
    return DatumRecord(path, cursor.key, read_datum(cursor.value, cursor), color)


class DatabaseRecords(RecordSource):
    """Reads a database in the order of its keys.

    Parameters
    ----------
    path : str
        The database's folder.
    backend : str
        LMDB or LEVELDB.
    color : bool, optional
        What encoded images are converted to; see `decode_image`.
    read_record : callable, optional
        Makes a record of a value; by default of a Datum.

    Raises
    ------
    DataError
        If the database cannot be opened or is empty.
    """

    size_advice = "crop_size or batch_size: 1, or convert with --resize_height and --resize_width"

    def __init__(
        self,
        path: str,
        backend: str,
        color: bool | None = None,
        read_record: ReadRecord = datum_record,
    ) -> None:
        self._path, self._color, self._read_record = path, color, read_record
        self._read = reading(path)
        self._database = open_database(path, backend)
        self._cursor = self._database.cursor()
        self._taken = 0

    def peek(self) -> Record:
        """Return the record of the cursor."""
        return self._read(self._read_record, self._path, self._cursor, self._color)

    def take(self, n: int) -> list[Record]:
        """Return the next n records; views of them last while the database is open.

        Raises
        ------
        DataError
            If one is not a Datum.
        """
        records = []
        for _ in range(n):
            records.append(self.peek())
            if self._cursor.advance():
                log_repetition(RESTART)
        self._taken += n
        return records

    def count_records(self, limit: int) -> int:
        """Return the number of records; LevelDB is read up to `limit` for it."""
        if self._database.backend == "LMDB":
            return len(self._database)
        return sum(1 for _ in islice(self._database.items(), limit))

    def skip(self, n: int) -> None:
        """Advance by n records."""
        for _ in range(self._cursor.skip(n)):
            log_repetition(RESTART)
        self._taken += n

    def position(self) -> RecordPosition:
        """Return the next key, and the number of records before it in all rounds."""
        return {"key": self._cursor.key.decode("latin-1"), "records": self._taken}

    def restore(self, position: RecordPosition) -> None:
        """Go to a key."""
        self._cursor.seek(str(position["key"]).encode("latin-1"))
        self._taken = int(position["records"])

    def close(self) -> None:
        """Close the database."""
        self._cursor.close()
        self._database.close()


class ShuffledDatabaseRecords(ListedRecords):
    """Reads a database in a random order, a new one in each round.

    Of an LMDB, only the records of the batches are read; the keys of a LevelDB stay in memory.

    Parameters
    ----------
    path, backend, color
        As for `DatabaseRecords`.
    stream : RandomStream
        Seed and name of the random order.
    read_record : callable, optional
        As for `DatabaseRecords`.

    Raises
    ------
    DataError
        If the database cannot be opened or is empty.
    """

    size_advice = DatabaseRecords.size_advice

    def __init__(
        self,
        path: str,
        backend: str,
        color: bool | None,
        stream: RandomStream,
        read_record: ReadRecord = datum_record,
    ) -> None:
        self._path, self._color, self._read_record = path, color, read_record
        self._read = reading(path)
        self._database = open_database(path, backend)
        self._cursor = self._database.cursor()
        super().__init__(path, self._cursor.count(), stream)

    def record(self, index: int) -> Record:
        """Return a record; views of it last while the database is open."""
        self._cursor.seek_index(index)
        return self._read(self._read_record, self._path, self._cursor, self._color)

    def close(self) -> None:
        """Close the database."""
        self._cursor.close()
        self._database.close()
