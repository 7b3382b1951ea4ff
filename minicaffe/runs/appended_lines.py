"""Lines of files to which another process appends: only what is new is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class NewLines(NamedTuple):
    """Lines that a file has got.

    Attributes
    ----------
    data : bytes
        Complete lines with their ends; a line that is still being written comes next time.
    is_replaced : bool
        Whether they are those of another file, so that all earlier ones are void.
    """

    data: bytes
    is_replaced: bool


class AppendedLines:
    """Reads a file again and again, each time from the end of the line that it read last.

    Parameters
    ----------
    path : Path
        The file, which need not exist yet.

    Attributes
    ----------
    offset : int
        Number of bytes that have been read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None  # inode and size
        self.offset = 0

    def read_new(self) -> NewLines:
        """Return the lines since the last call; a file without changes is not opened."""
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_size)
            if seen == self._seen:
                return NewLines(b"", False)
            is_other = self._seen is not None and self._seen[0] != status.st_ino
            is_replaced = self.offset > 0 and (is_other or status.st_size < self.offset)
            if is_replaced:
                self.offset = 0
            with self._path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except OSError:
            is_replaced, self.offset, self._seen = self.offset > 0, 0, None
            return NewLines(b"", is_replaced)
        data = data[: data.rfind(b"\n") + 1]
        self.offset += len(data)
        self._seen = seen
        return NewLines(data, is_replaced)


def text_after(path: Path, offset: int, most_bytes: int) -> tuple[str, int, int]:
    """Return the text of a growing file from an offset on, in whole lines.

    Parameters
    ----------
    path : Path
    offset : int
        If negative, or beyond the end of the file, the last lines are returned.
    most_bytes : int
        Length of the text; older lines are left out.

    Returns
    -------
    text : str
    begin, end : int
        Its place in the file.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        wanted = offset if 0 <= offset <= size else 0
        begin = max(wanted, size - most_bytes)
        file.seek(begin)
        data = file.read(size - begin)
    if begin > wanted:
        skipped = data.find(b"\n") + 1
        data, begin = data[skipped:], begin + skipped
    data = data[: data.rfind(b"\n") + 1]
    return data.decode("utf-8", "replace"), begin, begin + len(data)
