"""LevelDB through the ``plyvel`` package.

LevelDB has no read-only mode: opening a database takes its lock, starts a new LOG and may compact
files, so that it needs a writable folder, and only one process at a time can have it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from minicaffe.data.engines.leveldb_log import broken_log, logs_with_records
from minicaffe.data.engines.write_errors import write_error
from minicaffe.errors import DataError
from minicaffe.log import logger

# A file in the folder with the number of records, which LevelDB does not store and ignores. Our
# conversions write it, so that a database with a lost table or log is not read as a smaller one.
_COUNT_FILE = "RECORDS"
# Behind all keys of converters, which are text.
_AFTER_ALL_KEYS = b"\xff" * 16


def _plyvel() -> ModuleType:
    try:
        import plyvel
    except ImportError as error:
        raise DataError(
            "LevelDB needs the Python package plyvel, which is not installed (there is no wheel "
            "for Windows, nor for Python 3.13). Try: pip install plyvel; or convert the data to "
            "backend: LMDB, which works everywhere."
        ) from error
    module: ModuleType = plyvel
    return module


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn errors of reading into one that names the database."""
    plyvel = _plyvel()
    try:
        yield
    except plyvel.CorruptionError as error:
        raise DataError(
            f"{path}: the LevelDB is damaged: {_text(error)}. Restore it from a copy or convert it "
            "again."
        ) from error
    except plyvel.Error as error:
        text = _text(error)
        if "already held" in text:
            raise DataError(
                f"{path}: this process has the LevelDB open already, outside of minicaffe, and "
                "LevelDB allows it once. Close it first (plyvel: db.close()), or convert the data "
                "to backend: LMDB."
            ) from error
        if "LOCK: Resource temporarily unavailable" in text:
            raise DataError(
                f"{path}: another process has this LevelDB open, and LevelDB allows one at a time. "
                f"Wait for it. minicaffe db merge {path} NEW_DB --backend=lmdb writes an LMDB, "
                "which any number can read."
            ) from error
        if "CURRENT" in text or "does not exist" in text:
            raise DataError(
                f"{path}: the LevelDB is damaged: its file CURRENT is missing or unreadable. "
                "Restore it from a copy or convert it again."
            ) from error
        raise DataError(
            f"{path}: the LevelDB cannot be read: {text}. LevelDB writes into the folder even to "
            "read; make it writable, or convert the data to backend: LMDB."
        ) from error


def _text(error: Exception) -> str:
    """Return the message of an error; plyvel's is the repr of a bytes object."""
    return str(error).removeprefix("b'").removesuffix("'")


def _stored_count(path: str) -> int | None:
    """Return the number of records that the conversion counted; None if that is unknown."""
    try:
        return int(Path(path, _COUNT_FILE).read_text())
    except (OSError, ValueError):
        return None


class LevelDbReader:
    """A LevelDB open for reading."""

    def __init__(self, path: str) -> None:
        self._path = path
        if broken := broken_log(path):
            raise DataError(
                f"{path}: the LevelDB is damaged or being written: {broken}. Restore it from a "
                "copy or convert it again."
            )
        if not any(Path(path).glob("*.log")):
            logger.warning(
                f"{path}: the LevelDB has no log (NUMBER.log). If copying left out a log that was "
                "not empty, its records are missing."
            )
        with _explained(path):
            self._db = _plyvel().DB(path, create_if_missing=False, paranoid_checks=True)
        self._expected = _stored_count(path)

    def count(self) -> int:
        """Return the number of records, which means walking over their keys."""
        with _explained(self._path):
            return sum(1 for _ in self._db.iterator(include_value=False))

    def cursor(self) -> LevelDbCursor:
        """Return a new cursor."""
        iterator = self._db.raw_iterator(verify_checksums=True)
        return LevelDbCursor(iterator, self._path, self._expected)

    def close(self) -> None:
        """Close the files, release the lock."""
        self._db.close()


class LevelDbCursor:
    """A cursor on a LevelDB; at the end it compares the number of records with `expected`."""

    # Any, because plyvel has no type information.
    def __init__(self, iterator: Any, path: str, expected: int | None) -> None:
        self._iterator, self._path, self._expected = iterator, path, expected
        # Records seen since the first one, which begins a count.
        self._seen: int | None = None
        self._keys: list[bytes] | None = None

    def first(self) -> bool:
        """Go to the first record; False if there is none."""
        self._seen = 0
        with _explained(self._path):
            self._iterator.seek_to_first()
            return self._is_valid()

    def seek(self, key: bytes) -> bool:
        """Go to `key`; False if there is no such record."""
        self._seen = None
        with _explained(self._path):
            self._iterator.seek(key)
            return bool(self._iterator.valid()) and self._iterator.key() == key

    def count(self) -> int:
        """Return the number of records, which means reading them all the first time."""
        return len(self._all_keys())

    def seek_index(self, index: int) -> None:
        """Go to a record, counted from 0 in the order of the keys, which stay in memory."""
        self.seek(self._all_keys()[index])

    def _all_keys(self) -> list[bytes]:
        if self._keys is None:
            self._keys = []
            more = self.first()
            while more:
                self._keys.append(self._iterator.key())
                more = self.next()
        return self._keys

    def next(self) -> bool:
        """Go to the next record; False after the last."""
        try:  # called for each record: entering _explained would cost more than the step itself
            self._iterator.next()
            return self._is_valid()
        except Exception:
            with _explained(self._path):
                raise

    def skip(self, n: int) -> int:
        """Advance by n records; after the last one, return how many steps remain, else 0."""
        return next((n - k for k in range(n) if not self.next()), 0)

    def _is_valid(self) -> bool:
        """Return whether there is a record, and count it; at the end check the count."""
        seen = self._seen
        if self._iterator.valid():
            self._seen = None if seen is None else seen + 1
            return True
        if seen is not None and self._expected not in (None, seen):
            raise DataError(
                f"{self._path}: the LevelDB is damaged: it holds {seen} records, its file "
                f"{_COUNT_FILE} says {self._expected}. Restore it from a copy or convert it again; "
                f"or delete {_COUNT_FILE} if the records were changed on purpose."
            )
        return False

    def item(self) -> tuple[bytes, bytes]:
        """Return key and value of the record."""
        return self._iterator.key(), self._iterator.value()

    def close(self) -> None:
        """Close the iterator."""
        self._iterator.close()


class LevelDbWriter:
    """A LevelDB being written.

    Parameters
    ----------
    folder, name, is_durable
        As for `LmdbWriter`.
    """

    def __init__(self, folder: str, name: str, is_durable: bool = False) -> None:
        self._folder, self._name, self._is_durable = folder, name, is_durable
        plyvel = _plyvel()
        with self._explained():
            self._db = plyvel.DB(folder, create_if_missing=True, error_if_exists=not is_durable)

    def remove_tail(self, key: bytes) -> int | None:
        """Remove the records from a key on; return the number of the others, None if unknown."""
        with self._explained():
            keys = list(self._db.iterator(start=key, include_value=False))
            with self._db.write_batch(transaction=True, sync=self._is_durable) as batch:
                for each in keys:
                    batch.delete(each)
        return None

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Store the records in one transaction."""
        with (
            self._explained(),
            self._db.write_batch(transaction=True, sync=self._is_durable) as batch,
        ):
            for key, value in records:
                batch.put(key, value)

    def complete(self, n_records: int) -> None:
        """Bring everything to the disk, in tables, which have checksums, and store the count."""
        with self._explained():
            # Empties the log; in tables there is nothing to compact in this range.
            self._db.compact_range(start=_AFTER_ALL_KEYS, stop=_AFTER_ALL_KEYS)
            self._db.close()
        # LevelDB reports errors of this write to the next write only, and there is none.
        if logs := logs_with_records(self._folder):
            raise self._unwritable(f"{', '.join(logs)} could not be made a table")
        try:
            Path(self._folder, _COUNT_FILE).write_text(f"{n_records}\n")
            for path in Path(self._folder).iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritable(str(error)) from error

    def close(self) -> None:
        """Close the files."""
        self._db.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except _plyvel().Error as error:
            raise self._unwritable(_text(error)) from error

    def _unwritable(self, reason: str) -> DataError:
        return write_error(self._name, "LevelDB", reason, self._is_durable)
