"""The prefix of snapshots: it must be writable, and one training at a time should write to it."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from minicaffe.atomic_file import remove_abandoned
from minicaffe.errors import SolverError
from minicaffe.log import logger
from minicaffe.path_hints import unexpanded
from minicaffe.schema import SolverParameter

# What follows the prefix in the longest names of snapshot files.
_LONGEST = "_iter_1000000.solverstate.h5.json"


def check_snapshot_prefix(prefix: str, where: str) -> None:
    """Make the folder for snapshots, and check that it is writable.

    Parameters
    ----------
    prefix : str
        The solver's snapshot_prefix.
    where : str
        File and line of that setting.

    Raises
    ------
    SolverError
        If the folder cannot be made or written to, or the prefix cannot be part of a name.
    """
    if "\0" in prefix:
        raise SolverError(f"{where}: snapshot_prefix {prefix!r} contains a NUL byte. Remove it.")
    path = Path(prefix)
    if unexpanded(prefix) and not path.parent.exists():
        logger.warning(
            f'{where}: snapshot_prefix: "{prefix}": ~ and variables such as $HOME are not expanded '
            f"here; the folder {path.parent} is made in {Path.cwd()}. Write the whole path."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file with a name of its own, which is removed at once.
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}{_LONGEST}."):
            pass
    except (OSError, ValueError) as error:  # ValueError: not in the locale
        reason = getattr(error, "strerror", None) or error
        raise SolverError(
            f'{where}: snapshot_prefix: "{prefix}" cannot be written: {reason}. Give a '
            "writable folder, or switch snapshots off: snapshot: 0 snapshot_after_train: false"
        ) from error


@contextmanager
def claimed_prefix(prefix: str) -> Iterator[None]:
    """Warn if another training on this machine writes snapshots with the same prefix.

    If none does, files that killed trainings have left are removed: temporary ones and marks.
    """
    path = Path(os.path.realpath(prefix))
    with _claim(str(path)) if sys.platform.startswith("linux") else nullcontext(True) as is_first:
        if is_first:
            kinds = r"_iter_\d+(\.raw)?\.(caffemodel|solverstate)(\.h5)?(\.json)?"
            remove_abandoned(path.parent, re.compile(re.escape(path.name) + kinds))
            remove_writer_marks(path)
        else:
            logger.warning(
                f'Another training writes snapshots with snapshot_prefix: "{prefix}"; the files of '
                "the two will replace each other. Give each training a prefix of its own."
            )
        yield


def writer_mark(state: Path) -> Path:
    """Return the file that exists while a process with an error writes a solver state."""
    return state.with_name(f".{state.name}.writer")


def remove_writer_marks(prefix: Path) -> None:
    """Remove the marks of processes that were killed while they wrote."""
    for mark in prefix.parent.glob(f".{glob.escape(prefix.name)}_iter_*.writer"):
        with suppress(OSError):
            mark.unlink()


@contextmanager
def _claim(path: str) -> Iterator[bool]:
    """Hold a socket named after the path; yield whether no other process holds one of that name.

    Unlike a lock file, it cannot outlive its process. It has no name in the file system.
    """
    import socket

    name = hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        try:
            claim.bind(f"\0minicaffe-snapshots-{name}")
        except OSError:
            yield False
        else:
            yield True


def snapshot_iterations(prefix: str) -> dict[int, Path]:
    """Return the solver states of the complete snapshots of a prefix, by iteration, ascending."""
    path = Path(prefix)
    pattern = re.compile(re.escape(path.name) + r"_iter_(\d{1,18})\.solverstate(\.h5)?")
    files = path.parent.iterdir() if path.parent.is_dir() else ()
    found = {int(match[1]): file for file in files if (match := pattern.fullmatch(file.name))}
    return {k: found[k] for k in sorted(found) if weights_beside(found[k]).is_file()}


def raw_weights_file(weights: Path) -> Path:
    """Return where the parameters are saved whose average a .caffemodel holds."""
    stem, _, suffix = weights.name.rpartition(".caffemodel")
    return weights.with_name(f"{stem}.raw.caffemodel{suffix}")


class RecentSnapshots:
    """Removes the snapshots of a training but for the last ones, as keep_last asks for.

    Those that other trainings have written are left alone.

    Parameters
    ----------
    param : SolverParameter
    """

    def __init__(self, param: SolverParameter) -> None:
        self._param = param
        self._iterations: list[int] = []

    def adopt(self, last: int) -> None:
        """Count the snapshots up to an iteration, because the training that wrote them goes on."""
        found = snapshot_iterations(self._param.snapshot_prefix)
        self._iterations = [iteration for iteration in found if iteration <= last]

    def add(self, iteration: int) -> None:
        """Count a snapshot that has been written; remove those that are too many."""
        self._iterations = [k for k in self._iterations if k != iteration] + [iteration]
        while 0 < self._param.keep_last < len(self._iterations):
            self._remove(self._iterations.pop(0))

    def _remove(self, iteration: int) -> None:
        state = snapshot_iterations(self._param.snapshot_prefix).get(iteration)
        if state is None:
            return
        try:
            # The state first, because its presence implies the other files.
            weights = weights_beside(state)
            for path in (state, Path(f"{state}.json"), weights, raw_weights_file(weights)):
                path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning(f"{state} cannot be removed: {error.strerror} (keep_last).")


def weights_beside(state: Path) -> Path:
    """Return the weights of a solver state, if they lie beside it."""
    return state.with_name(state.name.replace(".solverstate", ".caffemodel"))
