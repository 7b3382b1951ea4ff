"""Check of the B-tree of an LMDB: once, when it is opened, many pages at a time."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.engines.lmdb_pages import (
    BRANCH,
    HEADER_BYTES,
    IN_OVERFLOW_PAGES,
    KIND_MASK,
    LEAF,
    NODE_BYTES,
    OVERFLOW,
    LmdbPages,
    Pages,
    pages_of,
)

# All leaf pages of a file up to this size are checked; of a larger one so many, evenly spread,
# because every page may cost a seek of the disk. The others are checked when they are read.
MOST_BYTES = 1 << 30
_SAMPLE = 1024
_CHUNK = 4096  # pages checked at a time
_WORD = 2  # bytes
Words = NDArray[np.uint16]


class LmdbTree:
    """The leaf pages of an LMDB in the order of their keys.

    Parameters
    ----------
    pages : LmdbPages

    Attributes
    ----------
    leaves : ndarray, int64
        Page numbers.
    is_checked : bool
        Whether all leaf pages were checked, and hold as many records as the header says.

    Raises
    ------
    DataError
        If a page is damaged.
    """

    def __init__(self, pages: LmdbPages) -> None:
        self._pages, self._meta = pages, pages.meta
        # First page and smallest number of pages of the large values, for each call.
        self._large: list[tuple[Pages, Pages]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
        self.leaves = self._find_leaves()
        self.is_checked = self._meta.last_page * pages.page_bytes <= MOST_BYTES
        checked = self.leaves
        if not self.is_checked and len(checked) > _SAMPLE:
            checked = checked[np.linspace(0, len(checked) - 1, _SAMPLE).astype(np.int64)]
        n = sum(self._check_leaves(chunk) for chunk in _chunks(checked))
        if self.is_checked:
            self._check_records(n)
        self._check_large_values()
        self._large.clear()

    @functools.cached_property
    def first_records(self) -> Pages:
        """Number of records before each leaf page, of which only the headers are read."""
        counts = np.concatenate([self._counts(chunk, LEAF) for chunk in _chunks(self.leaves)])
        ends: Pages = np.cumsum(counts)
        self._check_records(int(ends[-1]))
        firsts: Pages = ends - counts
        return firsts

    def _check_records(self, n: int) -> None:
        if n != self._meta.n_records:
            raise self._pages.damaged(
                f"its pages hold {n} records, its header says {self._meta.n_records}"
            )

    def _find_leaves(self) -> Pages:
        meta = self._meta
        if meta.depth == 0:
            level, n_branches = np.empty(0, np.int64), 0
        else:
            level, n_branches = np.array([meta.root], np.int64), 0
            for _ in range(meta.depth - 1):
                n_branches += len(level)
                level = np.concatenate([self._children(chunk) for chunk in _chunks(level)])
                self._check_numbers(level)
        if n_branches != meta.n_branches or len(level) != meta.n_leaves:
            raise self._pages.damaged(
                f"its tree has {n_branches} branch and {len(level)} leaf pages, its header says "
                f"{meta.n_branches} and {meta.n_leaves}"
            )
        return level

    def _check_numbers(self, level: Pages) -> None:
        """Check that pages are inside the file, and each is there once."""
        ordered = np.sort(level)
        if ordered[0] < 2 or ordered[-1] > self._meta.last_page or (np.diff(ordered) == 0).any():
            raise self._pages.damaged("a branch page names a page twice, or one outside data.mdb")

    def _children(self, branches: Pages) -> Pages:
        owners, offsets = self._nodes(branches, BRANCH)
        low, middle, high, key = self._node_words(owners, offsets)
        self._check_tiles(branches, owners, offsets, NODE_BYTES + key)
        return low | middle << 16 | high << 32

    def _check_leaves(self, leaves: Pages) -> int:
        """Check leaf pages; return the number of their records."""
        owners, offsets = self._nodes(leaves, LEAF)
        low, high, flags, key = self._node_words(owners, offsets)
        size = low | high << 16
        is_large = flags & IN_OVERFLOW_PAGES != 0
        inside = NODE_BYTES + key + np.where(is_large, 8, size)
        self._check_tiles(leaves, owners, offsets, inside)
        at = (owners * self._pages.page_bytes + offsets + NODE_BYTES + key)[is_large]
        content = self._pages.words.reshape(-1).view(np.uint8)
        numbers = content[at[:, None] + np.arange(8)].view("<i8")[:, 0]
        self._large.append((numbers, pages_of(size[is_large], self._pages.page_bytes)))
        return len(offsets)

    def _counts(self, pages: Pages, kind: int) -> Pages:
        """Return the number of nodes of each page, from its header."""
        headers = self._headers(pages, kind)
        lower, upper = headers[:, 6].astype(np.int64), headers[:, 7]
        is_outside = (lower < HEADER_BYTES) | (lower > upper) | (upper > self._pages.page_bytes)
        wrong = is_outside | (lower % 2 != 0)
        if wrong.any():
            raise self._pages.wrong_nodes(int(pages[wrong.argmax()]))
        return (lower - HEADER_BYTES) // _WORD

    def _nodes(self, pages: Pages, kind: int) -> tuple[Pages, Pages]:
        """Return for each node of `pages` its page and its offset there, bytes."""
        page_bytes, counts = self._pages.page_bytes, self._counts(pages, kind)
        owners = np.repeat(pages, counts)
        firsts = np.repeat(np.cumsum(counts) - counts, counts)
        positions = HEADER_BYTES // _WORD + np.arange(len(owners)) - firsts
        offsets = self._pages.words[owners, positions].astype(np.int64)
        wrong = (offsets % 2 != 0) | (offsets > page_bytes - NODE_BYTES)
        if wrong.any():
            raise self._pages.wrong_nodes(int(owners[wrong.argmax()]))
        return owners, offsets

    def _headers(self, pages: Pages, kind: int) -> Words:
        """Return the first words of pages; all must have their own number and be of one kind."""
        headers = self._pages.words[pages, : HEADER_BYTES // _WORD]
        numbers = np.ascontiguousarray(headers[:, :4]).view("<i8")[:, 0]
        wrong = (numbers != pages) | (headers[:, 5] & KIND_MASK != kind)
        if wrong.any():
            raise self._pages.wrong_page(int(pages[wrong.argmax()]), kind)
        return headers

    def _node_words(self, owners: Pages, offsets: Pages) -> list[Pages]:
        words, first = self._pages.words, offsets // _WORD
        return [words[owners, first + k].astype(np.int64) for k in range(NODE_BYTES // _WORD)]

    def _check_tiles(self, pages: Pages, owners: Pages, offsets: Pages, sizes: Pages) -> None:
        """Check that the nodes of each page fill it from its begin of the nodes to its end."""
        page_bytes = self._pages.page_bytes
        order = np.argsort(owners * (2 * page_bytes) + offsets)
        owners, begins = owners[order], offsets[order]
        ends = begins + sizes[order] + sizes[order] % 2
        begin = self._pages.words[:, 7]
        is_first = np.diff(owners, prepend=-1) != 0
        is_last = np.diff(owners, append=-1) != 0
        expected = np.where(is_first, begin[owners], np.roll(ends, 1))
        wrong = (begins != expected) | (is_last & (ends != page_bytes))
        if wrong.any():
            raise self._pages.wrong_nodes(int(owners[wrong.argmax()]))
        if len(np.unique(owners)) != len(pages):
            raise self._pages.damaged("a page of its tree is empty")

    def _check_large_values(self) -> None:
        """Check that large values have pages of their own, and the headers of the first pages.

        The other pages of a value have no header: they hold nothing but its bytes.
        """
        firsts, needed = (np.concatenate(x) for x in zip(*self._large, strict=True))
        order = np.argsort(firsts)
        firsts, needed = firsts[order], needed[order]
        ends = firsts + needed
        is_inside = (firsts >= 2).all() and (ends <= self._meta.last_page + 1).all()
        if not is_inside or (ends[:-1] > firsts[1:]).any():
            raise self._pages.damaged("values share pages, or lie outside data.mdb")
        if self.is_checked:
            self._check_large_headers(firsts, needed)

    def _check_large_headers(self, firsts: Pages, needed: Pages) -> None:
        n_pages = 0
        for begin in range(0, len(firsts), _CHUNK):
            some = slice(begin, begin + _CHUNK)
            headers = self._headers(firsts[some], OVERFLOW)
            found = headers[:, 6] | headers[:, 7].astype(np.int64) << 16
            if (wrong := found < needed[some]).any():
                raise self._pages.wrong_page(int(firsts[some][wrong.argmax()]), OVERFLOW)
            n_pages += int(found.sum())
        if n_pages != self._meta.n_overflow:
            raise self._pages.damaged(
                f"its large values have {n_pages} pages, its header says {self._meta.n_overflow}"
            )


def _chunks(pages: Pages) -> list[Pages]:
    return [pages[begin : begin + _CHUNK] for begin in range(0, len(pages), _CHUNK)]
