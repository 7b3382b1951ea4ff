"""LevelDB through the ``plyvel`` package.

LevelDB has no read-only mode: opening a database takes its lock, starts a new LOG and may compact
files, so that it needs a writable folder, and only one process at a time can have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from minicaffe.errors import DataError


def _plyvel() -> ModuleType:
    try:
        import plyvel
    except ImportError as error:
        raise DataError(
            "LevelDB needs the Python package plyvel, which is not installed (there is no wheel "
            "for Windows). Try: pip install plyvel; or convert the data to backend: LMDB, which "
            "works everywhere."
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
            f"{path}: the LevelDB is damaged: {_text(error)}. Copy or convert it again."
        ) from error
    except plyvel.Error as error:
        text = _text(error)
        if "already held" in text:
            raise DataError(
                f"{path}: this process has the LevelDB open already, outside of minicaffe, and "
                "LevelDB allows that once. Close it first: db.close() of a plyvel.DB."
            ) from error
        if "LOCK: Resource temporarily unavailable" in text:
            raise DataError(
                f"{path}: another process has this LevelDB open, and LevelDB allows one at a time. "
                "Wait for it, or convert the data to backend: LMDB, which any number can read."
            ) from error
        if "CURRENT" in text or "does not exist" in text:
            raise DataError(
                f"{path}: the LevelDB is damaged: its file CURRENT is missing or unreadable. Copy "
                "or convert it again."
            ) from error
        raise DataError(
            f"{path}: the LevelDB cannot be read: {text}. LevelDB writes into the folder even to "
            "read; make it writable, or convert the data to backend: LMDB."
        ) from error


def _text(error: Exception) -> str:
    """Return the message of an error; plyvel's is the repr of a bytes object."""
    return str(error).removeprefix("b'").removesuffix("'")


class LevelDbReader:
    """A LevelDB open for reading."""

    def __init__(self, path: str) -> None:
        self._path = path
        with _explained(path):
            self._db = _plyvel().DB(path, create_if_missing=False)

    def count(self) -> int:
        """Return the number of records, which means walking over their keys."""
        with _explained(self._path):
            return sum(1 for _ in self._db.iterator(include_value=False))

    def cursor(self) -> LevelDbCursor:
        """Return a new cursor."""
        return LevelDbCursor(self._db.raw_iterator(verify_checksums=True), self._path)

    def close(self) -> None:
        """Close the files, release the lock."""
        self._db.close()


class LevelDbCursor:
    """A cursor on a LevelDB."""

    # Any, because plyvel has no type information.
    def __init__(self, iterator: Any, path: str) -> None:
        self._iterator, self._path = iterator, path

    def first(self) -> bool:
        """Go to the first record; False if there is none."""
        with _explained(self._path):
            self._iterator.seek_to_first()
            return bool(self._iterator.valid())

    def seek(self, key: bytes) -> bool:
        """Go to `key`; False if there is no such record."""
        with _explained(self._path):
            self._iterator.seek(key)
            return bool(self._iterator.valid()) and self._iterator.key() == key

    def next(self) -> bool:
        """Go to the next record; False after the last."""
        try:  # called for each record: entering _explained would cost more than the step itself
            self._iterator.next()
            return bool(self._iterator.valid())
        except Exception:
            with _explained(self._path):
                raise

    def item(self) -> tuple[bytes, bytes]:
        """Return key and value of the record."""
        return self._iterator.key(), self._iterator.value()


class LevelDbWriter:
    """A new LevelDB in an empty folder.

    Parameters
    ----------
    folder : str
        Where to write.
    name : str
        The database's name in errors.
    """

    def __init__(self, folder: str, name: str) -> None:
        self._name = name
        plyvel = _plyvel()
        with self._explained():
            self._db = plyvel.DB(folder, create_if_missing=True, error_if_exists=True)

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Store the records in one transaction."""
        with self._explained(), self._db.write_batch(transaction=True) as batch:
            for key, value in records:
                batch.put(key, value)

    def close(self) -> None:
        """Bring everything to the disk."""
        self._db.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except _plyvel().Error as error:
            raise DataError(
                f"{self._name}: the LevelDB cannot be written: {_text(error)}. Is the disk full? "
                "What was written of it has been removed."
            ) from error
