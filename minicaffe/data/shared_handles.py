"""Handles that several users in one process share, each closed when its last user is gone."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar

# Device and number of a file: its own for as long as somebody holds it open.
FileId: TypeAlias = tuple[int, int]


class Handle(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Let go of the files."""


H = TypeVar("H", bound=Handle)


class SharedHandles(Generic[H]):
    """Handles by the file that each holds open.

    Not by its path: another file may stand there by now, and must not be taken for the old one.
    """

    def __init__(self) -> None:
        self._users: dict[FileId, tuple[H, int]] = {}
        self._dropped: deque[FileId] = deque()
        self._lock = threading.Lock()

    def take(self, file: Path, opened: Callable[[], H]) -> tuple[H, FileId]:
        """Return the handle that holds `file` open, and what to give back.

        Parameters
        ----------
        file : Path
            Held open by the handle as long as that is; it may be made when the handle is opened.
        opened : callable
            Returns a new handle.
        """
        with self._lock:
            self._settle()
            known = self._users.get(_id_of(file)) if file.exists() else None
            handle, users = known or (opened(), 0)
            found = _id_of(file)
            self._users[found] = handle, users + 1
            return handle, found

    def give_back(self, file: FileId) -> None:
        """Have one user less."""
        with self._lock:
            self._settle()
            self._release(file)

    def drop(self, file: FileId) -> None:
        """Have one user less, as soon as that can be; for finalizers, which may run at any time."""
        self._dropped.append(file)
        # The lock may be this very thread's: whoever takes it next does the rest then.
        if self._lock.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self._lock.release()

    def _settle(self) -> None:
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
