"""LMDB: a folder with ``data.mdb`` and no named databases, written by the ``lmdb`` package."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.data.engines.lmdb_pages import LmdbPages
from minicaffe.data.engines.lmdb_tree import LmdbTree
from minicaffe.data.engines.write_errors import write_error
from minicaffe.errors import DataError

if TYPE_CHECKING:
    import lmdb

# The map is the largest size of the file; Windows takes it from the disk at once, so start small.
_FIRST_MAP_BYTES = 16 << 20
_DATA_FILE = "data.mdb"


def _lmdb() -> ModuleType:
    """Import the package, which reading does not need."""
    try:
        import lmdb
    except ImportError as error:
        raise DataError(
            "writing an LMDB needs the Python package lmdb, which is not installed: "
            "pip install lmdb"
        ) from error
    module: ModuleType = lmdb
    return module


class LmdbReader:
    """An LMDB open for reading.

    It is read without the LMDB library, so that damage is an error, and the program may open the
    same database with the library too, which allows one environment for each file.
    """

    def __init__(self, path: str) -> None:
        self._pages = LmdbPages(path)
        try:
            self._tree = LmdbTree(self._pages)
        except BaseException:
            self._pages.close()
            raise

    def count(self) -> int:
        """Return the number of records."""
        return self._pages.meta.n_records

    def cursor(self) -> LmdbCursor:
        """Return a new cursor."""
        return LmdbCursor(self._pages, self._tree)

    def close(self) -> None:
        """Close the file."""
        self._pages.close()


class LmdbCursor:
    """A cursor on an LMDB; it checks the pages that it enters."""

    def __init__(self, pages: LmdbPages, tree: LmdbTree) -> None:
        self._pages, self._tree = pages, tree
        self._leaf, self._at = 0, 0
        self._records: list[tuple[bytes, memoryview]] = []
        # Number of records of the leaves read since the first one; negative after a search.
        self._seen = 0

    def first(self) -> bool:
        """Go to the first record; False if there is none."""
        self._seen = 0
        return self._enter(0)

    def seek(self, key: bytes) -> bool:
        """Go to `key`; False if there is no such record."""
        leaves = self._tree.leaves
        # A range, because a list of all leaves would take longer than the search.
        leaf = bisect_right(range(len(leaves)), key, key=self._first_key) - 1
        if leaf < 0:
            return False
        self._enter(leaf)
        self._seen = -self._pages.meta.n_records
        self._at = bisect_left(self._records, key, key=itemgetter(0))
        return self._at < len(self._records) and self._records[self._at][0] == key

    def _first_key(self, leaf: int) -> bytes:
        return self._pages.leaf(int(self._tree.leaves[leaf]))[0][0]

    def count(self) -> int:
        """Return the number of records."""
        return self._pages.meta.n_records

    def seek_index(self, index: int) -> None:
        """Go to a record, counted from 0 in the order of the keys."""
        firsts = self._tree.first_records
        leaf = int(np.searchsorted(firsts, index, "right")) - 1
        self._enter(leaf)
        self._seen = -self._pages.meta.n_records
        self._at = index - int(firsts[leaf])

    def next(self) -> bool:
        """Go to the next record; False after the last."""
        self._at += 1
        return self._at < len(self._records) or self._enter(self._leaf + 1)

    def skip(self, n: int) -> int:
        """Advance by n records; after the last one, return how many steps remain, else 0.

        Of the leaf pages that are passed over, only the number of records is read.
        """
        last = len(self._tree.leaves) - 1
        remaining = n - (len(self._records) - 1 - self._at)
        if remaining <= 0:
            self._at += n
            return 0
        for leaf in range(self._leaf + 1, last + 1):
            count = self._pages.count_in_leaf(int(self._tree.leaves[leaf]))
            if remaining <= count or leaf == last:
                self._enter(leaf)
                self._at = min(remaining, count) - 1
                remaining -= count
                break
            remaining -= count
            self._seen += count
        if remaining > 0:
            self._check_count()
        return max(remaining, 0)

    def item(self) -> tuple[bytes, memoryview]:
        """Return key and value of the record; the value is a view of the file."""
        return self._records[self._at]

    def close(self) -> None:
        """Let go of the records, which are views of the file."""
        self._records = []

    def _enter(self, leaf: int) -> bool:
        """Go to the first record of a leaf page; False if there is no such page."""
        leaves = self._tree.leaves
        if leaf == len(leaves):
            self._check_count()
            return False
        records = self._pages.leaf(int(leaves[leaf]))
        if leaf == self._leaf + 1 and records[0][0] <= self._records[-1][0]:
            raise self._pages.damaged(f"page {leaves[leaf]} of data.mdb is not in order")
        self._leaf, self._at, self._records = leaf, 0, records
        self._seen += len(records)
        return True

    def _check_count(self) -> None:
        expected = self._pages.meta.n_records
        if self._seen >= 0 and self._seen != expected:
            raise self._pages.damaged(f"it holds {self._seen} records, its header says {expected}")


class LmdbWriter:
    """An LMDB that no other process has open; the map doubles whenever it is full.

    Parameters
    ----------
    folder : str
        Where to write: an empty folder, or with `is_durable` one that holds an LMDB.
    name : str
        The database's name in errors.
    is_durable : bool
        Whether each transaction is on the disk when it ends, so that a power failure leaves the
        database as it was after one of them. Without, nothing is certain before `complete`.
    """

    def __init__(self, folder: str, name: str, is_durable: bool = False) -> None:
        self._name, self._is_durable = name, is_durable
        self._lmdb = _lmdb()
        if Path(folder, _DATA_FILE).exists():
            LmdbReader(folder).close()  # checks it, because the library aborts on damage
        with self._explained():
            self._env = self._lmdb.open(
                folder, map_size=_FIRST_MAP_BYTES, lock=False, sync=is_durable
            )

    def remove_tail(self, key: bytes) -> int | None:
        """Remove the records from a key on; return the number of the others, None if unknown."""

        def remove(transaction: lmdb.Transaction) -> None:
            cursor = transaction.cursor()
            more = cursor.set_range(key)
            while more:
                more = cursor.delete()

        self._change(remove)
        return int(self._env.stat()["entries"])

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Store the records in one transaction."""

        def put(transaction: lmdb.Transaction) -> None:
            for key, value in records:
                transaction.put(key, value)

        self._change(put)

    def _change(self, action: Callable[[lmdb.Transaction], None]) -> None:
        """Run a transaction; removing records takes pages, too."""
        with self._explained():
            while True:
                try:
                    with self._env.begin(write=True) as transaction:
                        action(transaction)
                    return
                except self._lmdb.MapFullError:
                    self._env.set_mapsize(2 * self._env.info()["map_size"])

    def complete(self, n_records: int) -> None:
        """Bring everything to the disk; LMDB itself counts the records."""
        with self._explained():
            self._env.sync(True)

    def close(self) -> None:
        """Close the file."""
        self._env.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._lmdb.Error as error:
            raise write_error(self._name, "LMDB", error, self._is_durable) from error
