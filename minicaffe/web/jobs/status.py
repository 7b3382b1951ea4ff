"""What the process of a job says of itself, in a file that it keeps locked as long as it lives.

The board opens and locks the file, and the process inherits the lock. So there is no moment in
which the process runs and the file is not locked, even if the board is killed: a board that is
started again never takes a job that runs for one that waits.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from minicaffe.runs.process import ProcessIdentity

if sys.platform != "win32":
    import fcntl

# Shorter contents are filled up, so that the exit code is written in place, also on a full disk.
_LENGTH = 4096


@dataclass(frozen=True)
class JobStatus:
    """The contents of the file.

    Parameters
    ----------
    words : tuple of str
        Command and arguments.
    folder : str
        As in `Job`.
    process : ProcessIdentity or None
        None until it has begun, and on systems without /proc.
    has_begun : bool
        Whether the process has written the file.
    exit_code : int or None
        None until it ends.
    ended : str
        When that was, as in `Job`.
    """

    words: tuple[str, ...] = ()
    folder: str = "."
    process: ProcessIdentity | None = None
    has_begun: bool = False
    exit_code: int | None = None
    ended: str = ""

    def write_into(self, handle: int) -> None:
        """Write the status to an open file.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        data = json.dumps(asdict(self)).encode().ljust(_LENGTH)
        if os.pwrite(handle, data, 0) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(handle, len(data))


def read_status(path: Path) -> JobStatus | None:
    """Return the status in a file; None if there is none, or it is damaged."""
    try:
        with path.open("rb") as file:
            return status_of(file.fileno())
    except OSError:
        return None


def status_of(handle: int) -> JobStatus | None:
    """Return the status in an open file, None if it is damaged."""
    try:
        values = json.loads(os.pread(handle, os.fstat(handle).st_size, 0))
        values["words"] = tuple(map(str, values["words"]))
        if values["process"] is not None:
            values["process"] = ProcessIdentity(**values["process"])
        return JobStatus(**values)
    except (OSError, ValueError, TypeError, LookupError):
        return None


def locked_status(path: Path) -> int | None:
    """Open and lock a status file, which is made if it is missing.

    Returns
    -------
    int or None
        The open file; None if the process of the job has it.

    Raises
    ------
    OSError
        If it cannot be opened, or the file system has no locks.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return handle


def is_locked(path: Path) -> bool:
    """Return whether the process of a job has its status file; False without a file."""
    with suppress(FileNotFoundError):
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
    return False
