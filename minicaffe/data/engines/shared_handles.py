"""Reference-counted handles: users in one process share a handle; the last one closes it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar

# Device and inode number: unique as long as the file is open.
FileId: TypeAlias = tuple[int, int]


class Handle(Protocol):
    """An object that can be closed."""

    def close(self) -> None:
        """Close the files."""


H = TypeVar("H", bound=Handle)


class SharedHandles(Generic[H]):
    """Handles by the identity of the file that each holds open.

    Not by the path, because another file may have replaced the open one.
    """

    def __init__(self) -> None:
        self._users: dict[FileId, tuple[H, int]] = {}
        self._dropped: deque[FileId] = deque()
        self._lock = threading.Lock()

    def take(self, file: Path, opened: Callable[[], H]) -> tuple[H, FileId]:
        """Return the handle that holds `file` open, and the id for `give_back`.

        Parameters
        ----------
        file : Path
            Held open by the handle as long as that is; it may be made when the handle is opened.
        opened : callable
            Returns a new handle.
        """
        with self._lock:
            self._remove_dropped()
            known = self._users.get(_id_of(file)) if file.exists() else None
            handle, users = known or (opened(), 0)
            found = _id_of(file)
            self._users[found] = handle, users + 1
            return handle, found

    def give_back(self, file: FileId) -> None:
        """Remove a user."""
        with self._lock:
            self._remove_dropped()
            self._release(file)

    def drop(self, file: FileId) -> None:
        """Remove a user, maybe later; for finalizers, which run at any time and in any thread."""
        self._dropped.append(file)
        # This thread may hold the lock; then the next call of another method removes the user.
        if self._lock.acquire(blocking=False):
            try:
                self._remove_dropped()
            finally:
                self._lock.release()

    def _remove_dropped(self) -> None:
        while self._dropped:
            self._release(self._dropped.popleft())

    def _release(self, file: FileId) -> None:
        handle, users = self._users[file]
        if users > 1:
            self._users[file] = handle, users - 1
            return
        del self._users[file]
        handle.close()


def _id_of(file: Path) -> FileId:
    found = file.stat()
    return found.st_dev, found.st_ino
