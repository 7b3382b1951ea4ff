"""Names and contents of run folders."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

from minicaffe.errors import DataError, nearest
from minicaffe.log import LogRecorder, logger
from minicaffe.runs.natural_order import natural_key

# The folder of runs, and the files of a run.
RUNS = Path("runs")
RECORD, LOG, METRICS = "run.json", "log.txt", "metrics.jsonl"
_KEPT = ("best", "last")


def run_name(solver: str | Path) -> str:
    """Return the name of the runs of a solver file: its stem without ``_solver``."""
    return Path(solver).stem.removesuffix("_solver") or "run"


def new_run_folder(name: str) -> Path:
    """Create ``runs/NAME-N`` with the next N; two processes get two folders.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    RUNS.mkdir(exist_ok=True)
    pattern = re.compile(rf"{re.escape(name)}-(\d{{1,9}})")
    numbers = [int(found[1]) for path in RUNS.iterdir() if (found := pattern.fullmatch(path.name))]
    number = max(numbers, default=0)
    while True:
        number += 1
        folder = RUNS / f"{name}-{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder


def remove_run(folder: Path) -> None:
    """Remove a run folder in ``runs/`` in which nothing was trained; others are left."""
    if folder.parent == RUNS:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # other runs are in it
            RUNS.rmdir()


def continue_log_of_rank(log: LogRecorder, folder: Path | None, rank: int) -> None:
    """Write the log of a process that is not rank 0 into the run folder, as ``log.txt.rank1``.

    Parameters
    ----------
    log : LogRecorder
        The log lines so far.
    folder : Path or None
        The run folder, which is created on machines that do not share it; None to write nothing.
    rank : int
    """
    if folder is None:
        return
    path = folder / f"{LOG}.rank{rank}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log.continue_in(path)
    except OSError as error:
        logger.warning(f"{path} cannot be written: {error.strerror}. The training goes on.")


def is_run(path: Path) -> bool:
    """Return whether a path is a run folder."""
    return (path / RECORD).is_file()


def run_folders() -> list[Path]:
    """Return the folders of ``runs/``, in the order of their names and numbers."""
    folders = filter(is_run, RUNS.iterdir()) if RUNS.is_dir() else ()
    return sorted(folders, key=lambda path: natural_key(path.name))


def find_run(text: str) -> Path:
    """Return the run folder of a path, or of a name in ``runs/``.

    Raises
    ------
    DataError
        If there is none.
    """
    for path in (Path(text), RUNS / text):
        if is_run(path):
            return path
    names = [path.name for path in run_folders()]
    known = nearest(text, names) if names else f"{RUNS}/ has none."
    raise DataError(f"{text}: no run: there is no {RECORD} in it. {known}")


def log_of(path: str) -> str:
    """Return the log of a run folder; other paths are returned unchanged."""
    return str(Path(path, LOG)) if is_run(Path(path)) else path


def weights_of(path: str) -> str:
    """Return the weights that ``RUN/best`` or ``RUN/last`` names, or a run folder.

    Parameters
    ----------
    path : str
        For a run folder itself, the best weights are returned if it has some, otherwise the last.
        Other paths are returned unchanged.

    Raises
    ------
    DataError
        If the run has no such weights.
    """
    given = Path(path)
    wanted: tuple[str, ...]
    if is_run(given):
        run, wanted = given, _KEPT
    elif given.name in _KEPT and is_run(given.parent) and not given.exists():
        run, wanted = given.parent, (given.name,)
    else:
        return path
    kept = {kind: str(file) for kind in _KEPT if (file := kept_weights(run, kind))}
    found = next((kept[kind] for kind in wanted if kind in kept), None)
    if found is None:
        has = f"It has {', '.join(kept)}" if kept else "It has written no snapshot"
        advice = ": train with --keep_best=OUTPUT" if wanted == ("best",) else ""
        raise DataError(f"{path}: the run {run} has no {' and no '.join(wanted)}{advice}. {has}.")
    return found


def kept_weights(run: Path, kind: str) -> Path | None:
    """Return the file of the "best" or "last" weights that a run has kept, None without any."""
    files = (run / f"{kind}.caffemodel{suffix}" for suffix in ("", ".h5"))
    return next(filter(Path.is_file, files), None)
