"""Atomic file replacement: readers see the old or the new content, never a partial file."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from minicaffe.errors import SnapshotError


@contextmanager
def write_atomically(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` atomically when the block succeeds.

    The bytes are written to a temporary file in the same folder and synced to disk; then the file
    is renamed. If a step fails, `path` is unchanged and the temporary file is removed. If `path` is
    a symbolic link, its target is replaced. A device or a pipe (/dev/null) is written directly.

    Raises
    ------
    SnapshotError
        If the file cannot be written: no such folder, no permission, disk full.
    """
    real = Path(os.path.realpath(path))
    is_special = _is_special_file(real)
    try:
        with real.open("wb") if is_special else _replace(real) as file:
            yield file
    except OSError as error:
        previous = "" if is_special else " The previous file is unchanged."
        raise SnapshotError(
            f"{path} cannot be written: {error.strerror or error}.{previous}"
        ) from error


@contextmanager
def _replace(path: Path) -> Iterator[BinaryIO]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    _remove_leftovers(path)
    try:
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()
    sync_folder(path.parent)


def _is_special_file(path: Path) -> bool:
    """Return whether `path` exists and is a device or a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files for `path` of processes that were killed."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*"):
        owner = leftover.name.rpartition(".")[2]
        if owner.isdigit() and not _is_running(int(owner)):
            with suppress(OSError):
                leftover.unlink()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, but belongs to another user
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, if the operating system can open folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
