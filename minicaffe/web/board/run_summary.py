"""The summary of a run for the page: read again only if its files have changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from minicaffe.errors import DataError
from minicaffe.runs.folder import RECORD
from minicaffe.runs.progress import Reads, RunProgress
from minicaffe.runs.record import RUNNING, RunRecord, completed_record, stored_record
from minicaffe.web.jobs.control import signal_obstacle

Summary = Mapping[str, object]

_SPARKLINE = 100  # points
# State of a run whose run.json cannot be read.
_UNREADABLE = "unreadable"


class FollowedRun:
    """Keeps the summary of a run; nothing is parsed twice.

    Parameters
    ----------
    name : str
    folder : Path

    Attributes
    ----------
    summary : Summary
        A new object whenever it changes.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.summary: Summary = {}
        self._seen: tuple[int, int, int] | None = None  # of run.json
        self._record = RunRecord()
        self._progress = RunProgress(folder, {}, "curve")

    @property
    def is_running(self) -> bool:
        """Whether the run may change soon."""
        return self.summary.get("state") == RUNNING

    def update(self) -> bool:
        """Read what has changed; return whether the summary has."""
        try:
            is_changed = self._update_record()
            is_changed |= self._progress.update()
            summary = self._made_summary() if is_changed or self.is_running else self.summary
        except DataError as error:
            self._seen = None
            summary = {"name": self.name, "state": _UNREADABLE, "error": str(error)}
        if summary == self.summary:
            return False
        self.summary = summary
        return True

    def _update_record(self) -> bool:
        try:
            status = (self.folder / RECORD).stat()
        except OSError as error:
            raise DataError(f"{self.folder / RECORD}: {error.strerror}") from error
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if seen == self._seen:
            return False
        self._record = record = stored_record(self.folder)
        reads: Reads = "curve" if record.state != RUNNING else "tests"
        self._progress = RunProgress(
            self.folder, record.score, "all" if record.first_iteration else reads
        )
        self._seen = seen
        return True

    def _made_summary(self) -> Summary:
        record, progress = self._record, self._progress
        if record.state == RUNNING:
            record = completed_record(record, progress, self.folder)
        is_running = record.state == RUNNING
        per_iteration = progress.seconds_per_iteration if is_running else None
        left = max(record.max_iter - record.iteration, 0)
        speed = progress.images_per_s if is_running else None
        return {
            "name": self.name,
            "state": record.state,
            "iteration": record.iteration,
            "max_iter": record.max_iter,
            "seconds": record.seconds,
            "eta_s": None if per_iteration is None else per_iteration * left,
            "images_per_s": speed or record.images_per_s,
            "started": record.started,
            "ended": record.ended,
            "error": record.error,
            "host": record.machine.get("host", ""),
            "is_controllable": not signal_obstacle(self.folder, record),
            "score": _score(record),
            "sparkline": progress.curve(_SPARKLINE),
        }


def _score(record: RunRecord) -> dict[str, object] | None:
    if not record.score:
        return None
    found: dict[str, object] = {
        "output": record.score.get("output"),
        "net": record.score.get("net"),
        "direction": record.score.get("best"),
    }
    for kind, score in (("best", record.best), ("last", record.last)):
        found[kind] = score and {"iteration": score.iteration, "value": score.value}
    return found
