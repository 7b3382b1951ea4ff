"""Snapshots that processes with errors write, each without asking the others."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minicaffe.schema import SolverParameter
from minicaffe.solver.snapshots.snapshot import snapshot_names
from minicaffe.solver.snapshots.snapshot_prefix import writer_mark

# A process that writes a snapshot for longer was killed, or its file system hangs.
_LONGEST_S = 60.0
_PAUSE_S = 0.05


@contextmanager
def sole_writer(param: SolverParameter, iteration: int, is_alone: bool) -> Iterator[bool]:
    """Yield whether to write the snapshot of an iteration: of several processes, the first does.

    The others wait until it is written, because the first of them to go on ends the job. A file
    beside the snapshot shows that it is being written; to create one that exists fails on network
    file systems, too.

    Parameters
    ----------
    param : SolverParameter
    iteration : int
    is_alone : bool
        Whether no other process can write it.
    """
    _, state = snapshot_names(param, iteration)
    mark = writer_mark(state)
    if is_alone:
        yield True
    elif _is_new(state):
        yield False
    elif _claim(mark):
        try:
            yield True
        finally:
            with suppress(OSError):
                mark.unlink()
    else:
        end = time.monotonic() + _LONGEST_S
        while mark.exists() and time.monotonic() < end:
            time.sleep(_PAUSE_S)
        yield False


def _is_new(path: Path) -> bool:
    """Return whether a file has just been written, so that another process wrote this snapshot."""
    try:
        return time.time() - path.stat().st_mtime < _LONGEST_S
    except OSError:
        return False


def _claim(mark: Path) -> bool:
    """Create a file; return False if it exists, unless it is older than any writer."""
    with suppress(OSError):
        if time.time() - mark.stat().st_mtime > _LONGEST_S:
            mark.unlink()
    try:
        with mark.open("x") as file:
            file.write(f"{platform.node()} {os.getpid()}\n")
    except FileExistsError:
        return False
    return True
