"""LMDB and LevelDB databases, as Caffe writes and reads them.

`open_database` reads, `create_database` writes; both name the database in every error. Databases
opened twice in one process (train and test net on one source) share a handle: LMDB forbids two
environments on one file, LevelDB two handles on one database. It is closed with the last of them,
or with the last reference to them, as for nets in notebooks.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeAlias

from minicaffe.atomic_file import new_folder
from minicaffe.data.datum import Bytes
from minicaffe.data.engines.leveldb_engine import LevelDbCursor, LevelDbReader, LevelDbWriter
from minicaffe.data.engines.lmdb_engine import LmdbCursor, LmdbReader, LmdbWriter
from minicaffe.data.engines.shared_handles import FileId, SharedHandles
from minicaffe.errors import DataError, nearest
from minicaffe.fatal_signals import reading
from minicaffe.log import logger
from minicaffe.path_hints import one_line, relative_path_hint

BACKENDS = ("LMDB", "LEVELDB")

# Records are written in transactions of this many records or bytes, whichever comes first.
_BATCH_RECORDS, _BATCH_BYTES = 1000, 32 << 20

EngineCursor: TypeAlias = LmdbCursor | LevelDbCursor
Reader: TypeAlias = LmdbReader | LevelDbReader
Writer: TypeAlias = LmdbWriter | LevelDbWriter


class _Engine(NamedTuple):
    """What reads and writes databases of one kind."""

    reader: type[Reader]
    writer: type[Writer]
    # A file that a reader holds open; it identifies the database if the path is replaced.
    held_file: str


_ENGINES = {
    "LMDB": _Engine(LmdbReader, LmdbWriter, "data.mdb"),
    "LEVELDB": _Engine(LevelDbReader, LevelDbWriter, "LOCK"),
}


class RecordCursor:
    """A cyclic cursor: the first record follows the last.

    Attributes
    ----------
    key : bytes
    value : bytes-like
        The current record; views of it are valid while the database is open.
    """

    value: Bytes

    def __init__(self, cursor: EngineCursor, path: str, database: Database) -> None:
        self._cursor = cursor
        self._path = path
        self._read = reading(path)
        # A reference, because a database without references is closed.
        self._database = database
        if not self._read(cursor.first):
            raise DataError(
                f"{path}: the database is empty. Convert at least one image into it; the "
                "converter's own messages say why it found none."
            )
        self.key, self.value = cursor.item()

    def advance(self) -> bool:
        """Go to the next record; return True if it is the first one again."""
        wrapped = not self._read(self._cursor.next)
        if wrapped:
            self._read(self._cursor.first)
        self.key, self.value = self._cursor.item()
        return wrapped

    def skip(self, n: int) -> int:
        """Advance by n records; return how often the first one came again."""
        n_rounds = 0
        while n:
            n = self._read(self._cursor.skip, n)
            if n:
                self._read(self._cursor.first)
                n, n_rounds = n - 1, n_rounds + 1
        self.key, self.value = self._cursor.item()
        return n_rounds

    def count(self) -> int:
        """Return the number of records; all of a LevelDB are read the first time."""
        return self._read(self._cursor.count)

    def seek_index(self, index: int) -> None:
        """Go to a record, counted from 0 in the order of the keys."""
        self._read(self._cursor.seek_index, index)
        self.key, self.value = self._cursor.item()

    def __str__(self) -> str:
        """Return database and key, for messages."""
        return f"{self._path}, key {printable(self.key)}"

    def seek(self, key: bytes) -> None:
        """Go to the record `key`.

        Raises
        ------
        DataError
            If there is none: the database is not the one that the key was taken from.
        """
        if not self._read(self._cursor.seek, key):
            raise DataError(
                f"{self._path}: no record with key {printable(key)}; the database has changed "
                "since the snapshot was taken. Put the old one back, or delete the snapshot's data "
                "state file to start from the first record."
            )
        self.key, self.value = self._cursor.item()

    def close(self) -> None:
        """Let go of the records, whose values may be views that keep a file open."""
        self.value = b""
        self._cursor.close()


class Database:
    """A database open for reading; close it, or use it in a ``with`` statement.

    Attributes
    ----------
    path : str
        As given to `open_database`.
    backend : str
        LMDB or LEVELDB.
    """

    def __init__(self, path: str, backend: str, reader: Reader, file: FileId) -> None:
        self.path, self.backend = path, backend
        self._reader: Reader | None = reader
        self._file = file
        self._finalizer = weakref.finalize(self, _readers.drop, file)
        self._finalizer.atexit = False  # the system closes files, and threads may read until then

    def __len__(self) -> int:
        """Return the number of records (LevelDB has to walk over all of them)."""
        return reading(self.path)(self._open_reader().count)

    def cursor(self) -> RecordCursor:
        """Return a cursor on the first record; an empty database is an error."""
        return RecordCursor(self._open_reader().cursor(), self.path, self)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and value of every record, in the order of the keys."""
        read = reading(self.path)
        cursor = self._open_reader().cursor()
        more = read(cursor.first)
        while more:
            key, value = cursor.item()
            yield key, read(bytes, value)
            more = read(cursor.next)

    def close(self) -> None:
        """Close the database; closing twice does nothing."""
        self._reader = None
        if self._finalizer.detach():
            _readers.give_back(self._file)

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open_reader(self) -> Reader:
        if self._reader is None:
            raise DataError(f"{self.path}: the database was closed. Open it again.")
        return self._reader


_readers: SharedHandles[Reader] = SharedHandles()


def open_database(path: str, backend: str) -> Database:
    """Open an existing database for reading.

    Parameters
    ----------
    path : str
        The database's folder.
    backend : str
        LMDB or LEVELDB, in any case.

    Raises
    ------
    DataError
        If there is no database, it is damaged, locked or of the other kind.
    """
    backend = known_backend(backend)
    _check_exists(path, backend)
    engine = _ENGINES[backend]
    opened: Callable[[str], Reader] = engine.reader
    held_file = Path(path, engine.held_file)
    reader, file = _readers.take(held_file, lambda: reading(path)(opened, path))
    logger.info("Opened %s %s", backend.lower(), path)
    return Database(path, backend, reader, file)


def open_any_database(path: str) -> Database:
    """Open an existing database of either kind for reading; see `open_database`."""
    is_folder = Path(path).is_dir()
    kind = kind_of(path) if is_folder else None
    if is_folder and kind is None:
        raise DataError(
            f"{path}: this folder holds neither an LMDB (data.mdb) nor a LevelDB database (CURRENT "
            "and MANIFEST file). Give the folder of a database."
        )
    return open_database(path, kind or BACKENDS[0])


class NewDatabase:
    """A database being written; `create_database` makes one."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._waiting: list[tuple[bytes, bytes]] = []
        self._waiting_bytes = 0
        self.count = 0

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record; it reaches the disk with the next transaction."""
        self._waiting.append((key, value))
        self._waiting_bytes += len(value)
        self.count += 1
        if len(self._waiting) >= _BATCH_RECORDS or self._waiting_bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the records put so far."""
        if self._waiting:
            self._writer.write(self._waiting)
            self._waiting, self._waiting_bytes = [], 0


@contextmanager
def create_database(path: str, backend: str) -> Iterator[NewDatabase]:
    """Create a database; it appears under its name when the ``with`` block ends without an error.

    Until then it is in a folder ``PATH.partial`` next to it, which an error or Ctrl-C removes.

    Raises
    ------
    DataError
        If `path` exists, its folder does not, or the disk is full.
    """
    backend = known_backend(backend)
    with new_folder(path, "databases") as partial:
        writer = _ENGINES[backend].writer(partial, path)
        logger.info("Opened %s %s", backend.lower(), path)
        try:
            database = NewDatabase(writer)
            yield database
            database.flush()
            writer.complete(database.count)
        finally:
            writer.close()


def open_writer(folder: str, path: str, backend: str) -> Writer:
    """Open a database to write into, whose transactions are on the disk when they end.

    Parameters
    ----------
    folder : str
        An empty folder, or one with such a database.
    path : str
        The database's name in errors and in the log.
    backend : str
    """
    backend = known_backend(backend)
    writer = _ENGINES[backend].writer(folder, path, is_durable=True)
    logger.info("Opened %s %s", backend.lower(), path)
    return writer


def known_backend(backend: str) -> str:
    """Return LMDB or LEVELDB for any spelling of them."""
    if backend.upper() not in BACKENDS:
        raise DataError(
            f"backend {backend}: no such kind of database. {nearest(backend, BACKENDS)}"
        )
    return backend.upper()


def kind_of(path: str) -> str | None:
    """Return which of `BACKENDS` a folder holds, from its file names, or None."""
    names = {entry.name for entry in Path(path).iterdir()}
    if "data.mdb" in names:
        return "LMDB"
    if any(name == "CURRENT" or name.startswith("MANIFEST-") for name in names):
        return "LEVELDB"
    return None


def printable(key: bytes) -> str:
    """Return a key for messages."""
    return ascii(key.decode("latin-1"))


def _check_exists(path: str, backend: str) -> None:
    if not Path(path).exists():
        raise DataError(
            f"{one_line(path)}: no such database. {relative_path_hint(path)} convert_imageset and "
            "similar commands write databases."
        )
    if not Path(path).is_dir():
        raise DataError(
            f"{path}: a file, but a database is a folder. Give the folder that holds it."
        )
    kind = kind_of(path)
    if kind is None:
        raise DataError(
            f"{path}: this folder holds no {backend} database (no "
            f"{'data.mdb' if backend == 'LMDB' else 'CURRENT and MANIFEST file'})."
        )
    if kind != backend:
        name = "an LMDB" if kind == "LMDB" else "a LevelDB"
        default = " (the default of data_param)" if backend == "LEVELDB" else ""
        raise DataError(
            f"{path}: this is {name} database, but it was to be opened as {backend}{default}. "
            f"Write backend: {kind} in data_param, or --backend={kind.lower()} on a command line."
        )
