"""Atomic replacement of files and creation of folders; locks of folders being written."""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from minicaffe.errors import DataError, SnapshotError
from minicaffe.path_hints import relative_path_hint

if sys.platform != "win32":
    import fcntl

# A temporary file that has not been written to for so long belongs to no process of any machine.
_ABANDONED_S = 900.0
_LOCK_TRIES, _LOCK_PAUSE_S = 20, 0.005


@contextmanager
def write_atomically(
    path: str | Path, before_replace: Callable[[], object] | None = None
) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` atomically when the block succeeds.

    The bytes are written to a temporary file in the same folder and synced to disk; then the file
    is renamed. If a step fails, `path` is unchanged and the temporary file is removed. If `path` is
    a symbolic link, its target is replaced. A device or a pipe (/dev/null) is written directly.

    Parameters
    ----------
    path : str or Path
        The file.
    before_replace : callable, optional
        Called when the new content is complete, directly before the file is replaced.

    Raises
    ------
    SnapshotError
        If the file cannot be written: no such folder, no permission, disk full.
    """
    real = Path(os.path.realpath(path))
    is_special = _is_special_file(real)
    try:
        with real.open("wb") if is_special else _replace(real, before_replace) as file:
            yield file
    except OSError as error:
        previous = "" if is_special else " The previous file is unchanged."
        raise SnapshotError(
            f"{path} cannot be written: {error.strerror or error}.{previous}"
        ) from error


@contextmanager
def _replace(path: Path, before_replace: Callable[[], object] | None) -> Iterator[BinaryIO]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    _remove_leftovers(path)
    try:
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if before_replace is not None:
            before_replace()
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()
    sync_folder(path.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a hard link to a file, or a copy where there are none; atomically.

    A file that later replaces `source` leaves `target` as it is.

    Raises
    ------
    OSError
        If it cannot be written; an existing target is then unchanged.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(os.path.realpath(source), temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        # Renaming a link to the same file does nothing, so the temporary name may be left.
        temporary.unlink(missing_ok=True)


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


def remove_abandoned(folder: Path, names: re.Pattern[str]) -> None:
    """Remove temporary files of processes that were killed.

    Parameters
    ----------
    folder : Path
    names : re.Pattern
        Matches the names of the files that they were to replace.
    """
    for leftover in folder.glob(".*"):
        name, _, owner = leftover.name[1:].rpartition(".")
        if owner.isdigit() and names.fullmatch(name) and not _is_running(int(owner)):
            with suppress(OSError):
                if time.time() - leftover.stat().st_mtime > _ABANDONED_S:
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


@contextmanager
def new_folder(path: str, contents: str) -> Iterator[str]:
    """Create a folder; it appears under its name when the ``with`` block ends without an error.

    Parameters
    ----------
    path : str
    contents : str
        What such folders are, in the plural, for messages: "databases".

    Yields
    ------
    str
        The folder ``PATH.partial`` to write into, which an error or Ctrl-C removes.

    Raises
    ------
    DataError
        If `path` exists, or its parent folder does not.
    """
    partial = partial_folder(path, contents)
    if not create_partial(partial, path):
        raise leftover_error(partial)
    try:
        yield str(partial)
        give_final_name(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def partial_folder(path: str, contents: str) -> Path:
    """Return the name ``PATH.partial`` of a new folder that is being written.

    Raises
    ------
    DataError
        If something of the final name exists; `contents` are as in `new_folder`.
    """
    if os.path.lexists(path):
        raise DataError(
            f"{path}: exists already; {contents} are never overwritten or added to. Remove it "
            f"(rm -r {path}) or choose another name."
        )
    return Path(f"{path.rstrip('/')}.partial")


def create_partial(partial: Path, path: str) -> bool:
    """Make the folder to write into; return False if it is there."""
    try:
        partial.mkdir()
    except FileExistsError:
        return False
    except OSError as error:
        raise DataError(
            f"{path}: cannot be created: {error.strerror}. {relative_path_hint(path)}"
        ) from error
    return True


def leftover_error(partial: Path) -> DataError:
    """Return the error about a folder to write into that exists."""
    return DataError(
        f"{partial}: exists already; another command is writing it, or one was killed. If none is "
        f"running, remove it (rm -r {partial})."
    )


def give_final_name(partial: Path, path: str) -> None:
    """Rename a complete folder; its names are on the disk before and after that."""
    sync_folder(partial)
    partial.rename(path)
    sync_folder(Path(path).absolute().parent)


@contextmanager
def held(folder: Path) -> Iterator[bool | None]:
    """Lock a folder inside the block; the lock ends with the process, also with a killed one.

    Yields
    ------
    bool or None
        Whether it is locked: False if another process has locked it, None if the operating system
        or the file system has no such locks.
    """
    if sys.platform == "win32":
        yield None
        return
    is_locked: bool | None
    with ExitStack() as stack:
        try:
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            is_locked = _lock(handle)
        except OSError:
            is_locked = None
        yield is_locked


def _lock(handle: int) -> bool:
    """Lock an open folder; return whether it is locked.

    Tried for a moment, because `is_held` of another process locks the folder while it looks.
    """
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_S)
        else:
            return True
    return False


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
