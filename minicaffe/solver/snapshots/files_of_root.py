"""The files of a snapshot that several processes go on from: all read those of rank 0."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from minicaffe.distributed.communicator import Communicator
from minicaffe.log import logger
from minicaffe.solver.snapshots.snapshot_prefix import raw_weights_file, weights_beside

_CHUNK_BYTES = 1 << 26


@contextmanager
def files_of_root(communicator: Communicator, state: Path) -> Iterator[Path]:
    """Yield the path of a .solverstate as this process finds it, with the other files beside it.

    Processes of machines that share a file system read the files that are there. A process that
    does not find those of rank 0, with their sizes and times, gets copies for the time of the
    block.
    """
    own = _sizes_and_times(state)
    of_root = communicator.from_root(own)
    is_other = own != of_root
    if not any(communicator.allgather(is_other)):
        yield state
        return
    with ExitStack() as stack:
        copies = Path(stack.enter_context(TemporaryDirectory())) if is_other else None
        if copies is not None:
            logger.info(f"{state} is copied from the machine of rank 0.")
        for name, (size, _) in of_root.items():
            _copy(communicator, state.with_name(name), size, copies)
        yield state if copies is None else copies / state.name


def _sizes_and_times(state: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of those files of a snapshot that exist, by name."""
    weights = weights_beside(state)
    files = (state, Path(f"{state}.json"), weights, raw_weights_file(weights))
    found = {path.name: path.stat() for path in files if path.is_file()}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in found.items()}


def _copy(communicator: Communicator, path: Path, size: int, folder: Path | None) -> None:
    """Send a file of rank 0 to all processes; those with a folder write it there."""
    with ExitStack() as stack:
        source = stack.enter_context(path.open("rb")) if communicator.is_root else None
        copy = stack.enter_context((folder / path.name).open("wb")) if folder is not None else None
        for begin in range(0, size, _CHUNK_BYTES):
            values = np.empty(min(_CHUNK_BYTES, size - begin), np.uint8)
            if source is not None:
                source.readinto(values.data)
            communicator.broadcast(values)
            if copy is not None:
                copy.write(values.data)
