"""Pages of an LMDB file: the B-tree of a database, checked before its contents are used.

The LMDB library trusts its pages: a damaged one ends the process (SIGABRT, SIGBUS), or makes the
database shorter. Here a page that does not fit raises an error that names the database. The format
is that of LMDB 0.9 on 64-bit little-endian machines (structures MDB_page, MDB_node, MDB_meta and
MDB_db of mdb.c); a database is one tree without duplicates, as Caffe writes it.
"""

from __future__ import annotations

import mmap
import struct
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from minicaffe.errors import DataError

Pages = NDArray[np.int64]
N = TypeVar("N", int, Pages)

BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8
_KINDS = {BRANCH: "a branch page", LEAF: "a leaf page", OVERFLOW: "the begin of a large value"}
KIND_MASK = 0x6F  # without the flags that only pages in memory have
HEADER_BYTES, NODE_BYTES = 16, 8
IN_OVERFLOW_PAGES = 1  # flag of a node whose value has pages of its own
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_NO_PAGE = 2**64 - 1
_LARGEST_DEPTH = 32  # CURSOR_STACK in mdb.c

_PAGE = struct.Struct("<QHHHH")  # number, padding, flags, end of the offsets, begin of the nodes
_OVERFLOW_PAGE = struct.Struct("<QHHI")  # number, padding, flags, number of pages
_NODE = struct.Struct("<IHH")  # size of the value, flags, size of the key
_NUMBER = struct.Struct("<Q")
# Magic, version, address, size of the map; page size and the rest of the list of free pages; flags,
# depth, pages of branches, leaves and large values, records, root; last page, transaction.
_META = struct.Struct("<IIQQ I44x 4xHHQQQQQ QQ")


class MetaPage(NamedTuple):
    """What one of the two first pages says."""

    magic: int
    version: int
    address: int
    map_bytes: int
    page_bytes: int
    flags: int
    depth: int
    n_branches: int
    n_leaves: int
    n_overflow: int
    n_records: int
    root: int
    last_page: int
    transaction: int


class LmdbPages:
    """The memory-mapped data.mdb of an LMDB, and the newest transaction in it.

    Parameters
    ----------
    path : str
        The database's folder.

    Attributes
    ----------
    words : ndarray, uint16, shape (pages, page size / 2)
        The pages of the transaction; read only.
    meta : MetaPage

    Raises
    ------
    DataError
        If there is no such file, it is cut off, or its first two pages are damaged.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._map = self._open(Path(path, "data.mdb"))
        self._view = memoryview(self._map)
        self.meta = self._newest_meta()
        size = self.page_bytes = self.meta.page_bytes
        expected = (self.meta.last_page + 1) * size
        if len(self._view) < expected:
            raise self.damaged(
                f"data.mdb is cut off: it has {len(self._view)} bytes, its header says {expected}"
            )
        values = np.frombuffer(self._view, "<u2", expected // 2)
        self.words = values.reshape(-1, size // 2)

    def damaged(self, what: str) -> DataError:
        """Return the error about a damaged file."""
        return DataError(
            f"{self.path}: the LMDB is damaged: {what}. Restore it from a copy or convert it again."
        )

    def close(self) -> None:
        """Close the file, or leave that to the last value that is a view of it."""
        self.words = np.empty((0, 0), np.uint16)
        with suppress(BufferError):
            self._view.release()
            self._map.close()

    def leaf(self, page: int) -> list[tuple[bytes, memoryview]]:
        """Return key and value of each record of a leaf page; the values are views of the file.

        Raises
        ------
        DataError
            If the page is damaged.
        """
        view, base, size = self._view, page * self.page_bytes, self.page_bytes
        n, upper = self._leaf_header(page)
        records, spans = [], []
        for offset in struct.unpack_from(f"<{n}H", view, base + 16):
            if offset > size - NODE_BYTES:
                raise self.wrong_nodes(page)
            value_bytes, flags, key_bytes = _NODE.unpack_from(view, base + offset)
            key = offset + NODE_BYTES
            value = key + key_bytes
            end = value + (8 if flags & IN_OVERFLOW_PAGES else value_bytes)
            if end > size:
                raise self.wrong_nodes(page)
            spans.append((offset, end + (end & 1)))
            if flags & IN_OVERFLOW_PAGES:
                content = self._large_value(base + value, value_bytes)
            else:
                content = view[base + value : base + end]
            records.append((bytes(view[base + key : base + value]), content))
        spans.sort()
        for begin, end in spans:
            if begin != upper:
                raise self.wrong_nodes(page)
            upper = end
        if upper != size or not records:
            raise self.wrong_nodes(page)
        return records

    def count_in_leaf(self, page: int) -> int:
        """Return the number of records of a leaf page, without reading them."""
        return self._leaf_header(page)[0]

    def _leaf_header(self, page: int) -> tuple[int, int]:
        """Return the number of records of a leaf page, and where they begin."""
        base, size = page * self.page_bytes, self.page_bytes
        number, _, flags, lower, upper = _PAGE.unpack_from(self._view, base)
        if number != page or flags & KIND_MASK != LEAF or not _is_header(lower, upper, size):
            raise self.wrong_page(page, LEAF)
        return (lower - HEADER_BYTES) // 2, upper

    def wrong_page(self, page: int, kind: int) -> DataError:
        """Return the error about a page that is not of the kind that its parent says."""
        return self.damaged(f"page {page} of data.mdb is not {_KINDS[kind]}")

    def wrong_nodes(self, page: int) -> DataError:
        """Return the error about a page whose records do not fit into it."""
        return self.damaged(f"the records of page {page} of data.mdb do not fit together")

    def _large_value(self, at: int, value_bytes: int) -> memoryview:
        """Return the value whose first page is named by the eight bytes at `at`."""
        (page,) = _NUMBER.unpack_from(self._view, at)
        needed = pages_of(value_bytes, self.page_bytes)
        if not 2 <= page <= self.meta.last_page + 1 - needed:
            raise self.wrong_page(page, OVERFLOW)
        begin = page * self.page_bytes
        number, _, flags, n_pages = _OVERFLOW_PAGE.unpack_from(self._view, begin)
        if number != page or flags & KIND_MASK != OVERFLOW or n_pages < needed:
            raise self.wrong_page(page, OVERFLOW)
        begin += HEADER_BYTES
        return self._view[begin : begin + value_bytes]

    def _open(self, file: Path) -> mmap.mmap:
        try:
            with file.open("rb") as opened:
                if file.stat().st_size < HEADER_BYTES + _META.size:
                    raise self.damaged("data.mdb is cut off, or empty")
                return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise DataError(
                f"{self.path}: the LMDB cannot be read: {error.strerror}. Ask the owner of {file}, "
                "or copy the database."
            ) from error

    def _newest_meta(self) -> MetaPage:
        first = self._meta(0, 0)
        second = self._meta(1, first.page_bytes)
        new, old = sorted((first, second), key=lambda meta: meta.transaction, reverse=True)
        tree_ok = new.root == _NO_PAGE if new.depth == 0 else 2 <= new.root <= new.last_page
        if not tree_ok or new.depth > _LARGEST_DEPTH or old.last_page > new.last_page:
            raise self.damaged("the first two pages of data.mdb contradict each other")
        if new.flags:
            raise DataError(
                f"{self.path}: this LMDB sorts its keys in a way of its own (flags {new.flags}); "
                "Caffe's databases do not. Write one with convert_imageset."
            )
        return new

    def _meta(self, page: int, at: int) -> MetaPage:
        problem = self.damaged(
            f"page {page} of data.mdb is no header of an LMDB (of a 64-bit program)"
        )
        if at + HEADER_BYTES + _META.size > len(self._view):
            raise problem
        number, _, flags, _, _ = _PAGE.unpack_from(self._view, at)
        meta = MetaPage._make(_META.unpack_from(self._view, at + HEADER_BYTES))
        size = meta.page_bytes
        is_size = size & (size - 1) == 0 and 256 <= size <= 1 << 15 and at in (0, size)
        is_meta = flags & META and (meta.magic, meta.version) == (_MAGIC, _VERSION)
        if number != page or not is_meta or not is_size or meta.last_page >= 1 << 48:
            raise problem
        return meta


def pages_of(value_bytes: N, page_bytes: int) -> N:
    """Return the number of pages that a large value, or each of several, needs."""
    return (HEADER_BYTES - 1 + value_bytes) // page_bytes + 1


def _is_header(lower: int, upper: int, page_bytes: int) -> bool:
    return HEADER_BYTES <= lower <= upper <= page_bytes and not lower & 1
