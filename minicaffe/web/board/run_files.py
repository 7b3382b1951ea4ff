"""Files of a run: what is in its folder, and its snapshots with their scores."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from starlette.exceptions import HTTPException

from minicaffe.errors import MinicaffeError
from minicaffe.runs.folder import kept_weights
from minicaffe.runs.natural_order import natural_key
from minicaffe.runs.record import RunRecord
from minicaffe.schema import SolverParameter, read_prototxt
from minicaffe.web.board.folder import BoardFolder

_MOST_FILES = 500
_DEEPEST = 2  # folders in the run folder, as of confusion matrices
_SNAPSHOT = re.compile(r"_iter_(\d+)\.caffemodel(\.h5)?")
_CLOCK_S = 5.0  # by which the clocks of a file server and of a trainer may differ

# A snapshot: iteration, weights (a path below the folder of the board), bytes, kind, score.
Snapshot = dict[str, object]


def files_of(run: Path) -> list[dict[str, object]]:
    """Return path and size of each file of a run folder."""
    found: list[dict[str, object]] = []
    for folder, below, names in os.walk(run):
        here = Path(folder)
        if len(here.relative_to(run).parts) >= _DEEPEST:
            below.clear()
        for path in (here / name for name in names):
            if path.is_file() and len(found) < _MOST_FILES:
                relative = path.relative_to(run).as_posix()
                found.append({"path": relative, "bytes": path.stat().st_size})
    return sorted(found, key=lambda file: natural_key(str(file["path"])))


def file_of(run: Path, text: str) -> Path:
    """Return a file of a run folder.

    Raises
    ------
    HTTPException
        With status 404, if there is none of the path in the folder.
    """
    try:
        path = (run / text).resolve()
    except (OSError, ValueError, RuntimeError):
        path = run
    if not path.is_relative_to(run.resolve()) or not path.is_file():
        raise HTTPException(404, f"{text}: no file of this run")
    return path


def snapshots_of(
    board: BoardFolder, run: Path, record: RunRecord, scores: Mapping[int, float]
) -> list[Snapshot]:
    """Return the weights that a training has written below the folder of the board.

    Parameters
    ----------
    board : BoardFolder
    run : Path
        The run folder.
    record : RunRecord
    scores : dict of int to float
        The score of each tested iteration.
    """
    known: dict[int, Snapshot] = {}  # by inode: last.caffemodel is a link of the newest snapshot
    for path, iteration in _numbered(board, run, record):
        known[path.stat().st_ino] = _snapshot(board, path, iteration, scores)
    last, best = kept_weights(run, "last"), kept_weights(run, "best")
    if last is not None:
        kept = known.setdefault(
            last.stat().st_ino, _snapshot(board, last, _newest_iteration(record), scores)
        )
        kept["kind"] = "last"
    if best is not None:
        at = None if record.best is None else record.best.iteration
        known[-1] = {**_snapshot(board, best, at, scores), "kind": "best"}
    return sorted(known.values(), key=lambda one: int(str(one["iteration"] or 0)))


def _snapshot(
    board: BoardFolder, path: Path, iteration: int | None, scores: Mapping[int, float]
) -> Snapshot:
    return {
        "iteration": iteration,
        "weights": path.relative_to(board.root).as_posix(),
        "bytes": path.stat().st_size,
        "kind": "snapshot",
        "score": None if iteration is None else scores.get(iteration),
    }


def _newest_iteration(record: RunRecord) -> int | None:
    found = _SNAPSHOT.search(record.snapshot.get("weights", ""))
    return int(found[1]) if found else None


def _numbered(board: BoardFolder, run: Path, record: RunRecord) -> Iterator[tuple[Path, int]]:
    """Yield the snapshots of the solver's prefix that were written during the run."""
    try:
        solver = read_prototxt(run / "solver.prototxt", SolverParameter).message
        prefix = board.path_below(str(Path(record.folder, solver.snapshot_prefix)))
        entries = list(prefix.parent.iterdir())
    except (MinicaffeError, HTTPException, OSError):
        return
    begin, end = _timestamp(record.started, 0.0), _timestamp(record.ended, float("inf"))
    for path in entries:
        found = _SNAPSHOT.fullmatch(path.name.removeprefix(prefix.name))
        if found is None or not path.name.startswith(prefix.name) or not path.is_file():
            continue
        if begin - _CLOCK_S <= path.stat().st_mtime <= end + _CLOCK_S:
            yield path, int(found[1])


def _timestamp(text: str, default: float) -> float:
    try:
        return datetime.fromisoformat(text).timestamp() if text else default
    except ValueError:
        return default
