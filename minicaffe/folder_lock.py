"""Locks of folders that one process writes; a lock ends with its process, also a killed one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl


@contextmanager
def held(folder: Path) -> Iterator[bool | None]:
    """Lock a folder inside the block.

    Yields
    ------
    bool or None
        Whether it is locked: False if another process has locked it, None if the operating system
        or the file system has no such locks.
    """
    if sys.platform == "win32":
        yield None
        return
    is_locked: bool | None = True
    with ExitStack() as stack:
        try:
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_locked = False
        except OSError:
            is_locked = None
        yield is_locked


def is_held(folder: Path) -> bool:
    """Return whether a process has locked a folder, or may have."""
    if sys.platform == "win32":  # it has no flock: a killed run is shown as running
        return True
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(handle)
    except OSError:
        return True
    return False
