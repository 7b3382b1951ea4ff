"""Files that are either old or new, never half of one."""

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
    """Open a file for writing that takes the place of `path` when the block ends well.

    The bytes go to a file of another name in the same folder, are forced to the disk, and the file
    is then renamed. If anything fails, `path` is as it was and the other file is gone. A symbolic
    link stays one: the file that it leads to is replaced. What is no file (/dev/null, a pipe) is
    written to as it is.

    Raises
    ------
    SnapshotError
        If the file cannot be written: no such folder, no permission, disk full.
    """
    real = Path(os.path.realpath(path))
    direct = _takes_bytes_only(real)
    try:
        with real.open("wb") if direct else _replacing(real) as file:
            yield file
    except OSError as error:
        before = "" if direct else " What was there before is untouched."
        raise SnapshotError(
            f"{path} cannot be written: {error.strerror or error}.{before}"
        ) from error


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    _remove_leftovers(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()
    _sync_folder(path.parent)


def _takes_bytes_only(path: Path) -> bool:
    """Return whether `path` is there and is neither file nor folder: a device, a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed have left of earlier attempts at `path`."""
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
    except OSError:  # it runs, and belongs to somebody else
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Force the renaming to the disk, where the system lets a folder be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
