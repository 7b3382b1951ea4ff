"""LMDB through the ``lmdb`` package: a folder with ``data.mdb`` and no named databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import lmdb

from minicaffe.errors import DataError

# The map is the largest size of the file; Windows takes it from the disk at once, so start small.
_FIRST_MAP_BYTES = 16 << 20


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn errors of reading into one that names the database."""
    try:
        yield
    except lmdb.ReadonlyError as error:
        raise DataError(
            f"{path}: the LMDB cannot be read: no permission. Ask the owner of {path}/data.mdb, or "
            "copy the database."
        ) from error
    except lmdb.Error as error:
        raise DataError(
            f"{path}: the LMDB is damaged: {error}. Copy or convert it again."
        ) from error


class LmdbReader:
    """An LMDB open for reading; without locks, so that read-only media do."""

    def __init__(self, path: str) -> None:
        self._path = path
        with _explained(path):
            self._env = lmdb.open(path, readonly=True, lock=False)
        try:
            self._check_size()
            # Without locks a transaction costs nothing, so that all cursors share one.
            self._txn = self._env.begin(buffers=True)
        except BaseException:
            self._env.close()
            raise

    def _check_size(self) -> None:
        # Reading a page beyond the end of the file would kill the process (SIGBUS).
        expected = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        found = (Path(self._path) / "data.mdb").stat().st_size
        if found < expected:
            raise DataError(
                f"{self._path}: data.mdb is cut off: it has {found} bytes, its header says "
                f"{expected}. Copy or convert it again."
            )

    def count(self) -> int:
        """Return the number of records."""
        return int(self._env.stat()["entries"])

    def cursor(self) -> LmdbCursor:
        """Return a new cursor."""
        return LmdbCursor(self._txn.cursor(), self._path)

    def close(self) -> None:
        """Close the file."""
        self._txn.abort()
        self._env.close()


class LmdbCursor:
    """A cursor on an LMDB."""

    def __init__(self, cursor: lmdb.Cursor, path: str) -> None:
        self._cursor, self._path = cursor, path

    def first(self) -> bool:
        """Go to the first record; False if there is none."""
        with _explained(self._path):
            return bool(self._cursor.first())

    def seek(self, key: bytes) -> bool:
        """Go to `key`; False if there is no such record."""
        with _explained(self._path):
            return bool(self._cursor.set_key(key))

    def next(self) -> bool:
        """Go to the next record; False after the last."""
        try:
            return bool(self._cursor.next())
        except lmdb.Error:
            with _explained(self._path):
                raise

    def item(self) -> tuple[bytes, memoryview]:
        """Return key and value of the record; the value is a view of the file."""
        key, value = self._cursor.item()
        return bytes(key), cast(memoryview, value)


class LmdbWriter:
    """A new LMDB in an empty folder; the map doubles whenever it is full.

    Parameters
    ----------
    folder : str
        Where to write.
    name : str
        The database's name in errors.
    """

    def __init__(self, folder: str, name: str) -> None:
        self._name = name
        # No other process opens the folder before it is renamed: no lock, no sync before close().
        with self._explained():
            self._env = lmdb.open(folder, map_size=_FIRST_MAP_BYTES, lock=False, sync=False)

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Store the records in one transaction."""
        with self._explained():
            while not self._fits(records):
                self._env.set_mapsize(2 * self._env.info()["map_size"])

    def _fits(self, records: list[tuple[bytes, bytes]]) -> bool:
        try:
            with self._env.begin(write=True) as transaction:
                for key, value in records:
                    transaction.put(key, value)
        except lmdb.MapFullError:
            return False
        return True

    def close(self) -> None:
        """Bring everything to the disk."""
        try:
            with self._explained():
                self._env.sync(True)
        finally:
            self._env.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            raise DataError(
                f"{self._name}: the LMDB cannot be written: {error}. Is the disk full? What was "
                "written of it has been removed."
            ) from error
