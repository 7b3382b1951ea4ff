"""Stops, snapshots and resumes the trainings of runs.

A training is told by a signal. It is sent to the process of run.json only if that is certainly the
one that trains: it is of this boot of this computer, the process of this number has started at the
recorded time, and it has the locked run folder open.
"""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException

from minicaffe.errors import MinicaffeError
from minicaffe.runs.folder import RUNS, is_held
from minicaffe.runs.record import KILLED, RUNNING, RunRecord, stored_record
from minicaffe.runs.summary import resume_words
from minicaffe.web.board.folder import BoardFolder
from minicaffe.web.jobs.job import Job
from minicaffe.web.jobs.queue import JobQueue, JobRefused, stop_signal


@dataclass(frozen=True)
class RunActions:
    """What can be done with a run.

    Parameters
    ----------
    stop, snapshot, resume : str
        Why it cannot be done, in the form of a sentence; "" if it can.
    command : str
        The command that resumes it, or "".
    is_training : bool
    is_stopping : bool
        Whether it was told to stop.
    """

    stop: str
    snapshot: str
    resume: str
    command: str = ""
    is_training: bool = False
    is_stopping: bool = False


class RunControl:
    """Sends signals to trainings, and resumes them as jobs.

    Parameters
    ----------
    folder : BoardFolder
    queue : JobQueue
    safe_words : callable
        Returns the words of a train command whose paths are below the folder of the board, from
        words and the working directory; raises MinicaffeError for others.
    """

    def __init__(
        self,
        folder: BoardFolder,
        queue: JobQueue,
        safe_words: Callable[[Sequence[str], Path], list[str]],
    ) -> None:
        self._folder, self._queue, self._safe_words = folder, queue, safe_words

    def actions(self, name: str) -> RunActions:
        """Return what can be done with a run."""
        path = self._folder.run(name)
        record = _record_of(path)
        stop = snapshot = signal_obstacle(path, record)
        if not stop:
            stop, snapshot = (
                "" if stop_signal(record.effects, effect) else _no_signal(record, effect)
                for effect in ("stop", "snapshot")
            )
        is_stopping = (
            record.process is not None and not stop and self._queue.is_stopping(record.process)
        )
        if is_stopping:
            stop = snapshot = "it is stopping: it ends after its iteration, with a snapshot"
        words = resume_words(record)
        resume = _resume_obstacle(record)
        if not resume:
            try:
                self._place(path, record)
            except MinicaffeError as error:
                resume = str(error)
        command = shlex.join(["minicaffe", *words]) if words and not resume else ""
        is_training = record.state == RUNNING
        return RunActions(stop, snapshot, resume, command, is_training, is_stopping)

    def request_stop(self, name: str) -> None:
        """Let a training stop after its iteration, with a snapshot.

        Raises
        ------
        JobRefused
            If it cannot be told, or was told before: a second signal would stop it at once.
        """
        self._tell(name, "stop")

    def request_snapshot(self, name: str) -> None:
        """Let a training write a snapshot after its iteration; raise JobRefused if it cannot."""
        self._tell(name, "snapshot")

    def resume(self, name: str) -> Job:
        """Append a job that resumes a run, and return it.

        Raises
        ------
        JobRefused
            If the run has no snapshot or trains, or its folder is not below that of the board.
        """
        path = self._folder.run(name)
        record = _record_of(path)
        if obstacle := _resume_obstacle(record):
            raise JobRefused(f"{name} cannot be resumed: {obstacle}")
        place = self._place(path, record)
        return self._queue.enqueue(self._safe_words(resume_words(record), place), place)

    def _tell(self, name: str, effect: str) -> None:
        path = self._folder.run(name)
        record = _record_of(path)
        obstacle = signal_obstacle(path, record)
        number = stop_signal(record.effects, effect)
        if not obstacle and number is None:
            obstacle = _no_signal(record, effect)
        if obstacle or number is None or record.process is None:
            raise JobRefused(f"{name}: {obstacle}")
        is_told = effect != "stop" and self._queue.is_stopping(record.process)
        if is_told or (effect == "stop" and not self._queue.note_stop(record.process)):
            raise JobRefused(f"{name} is stopping: it ends after its iteration, with a snapshot")
        try:
            if not record.process.send(number):
                raise JobRefused(f"{name} has just ended")
        except OSError as error:
            raise JobRefused(f"{name} cannot be told: {error.strerror}") from error

    def _place(self, path: Path, record: RunRecord) -> Path:
        """Return the working directory of a run, which may have been moved together with it."""
        places = [Path(record.folder)] if record.folder else []
        if path.parent.name == RUNS.name:
            places.insert(0, path.parents[1])
        for place in places:
            try:
                found = self._folder.path_below(os.fspath(place))
                self._safe_words(resume_words(record), found)
            except (MinicaffeError, HTTPException):
                continue
            return found
        raise JobRefused(
            f"the files of its command are not below the folder of this board (it ran in "
            f"{record.folder or 'an unknown folder'})"
        )


def signal_obstacle(folder: Path, record: RunRecord) -> str:
    """Return why the training of a run cannot be told anything; "" if it can.

    Parameters
    ----------
    folder : Path
        The run folder.
    record : RunRecord
        What is known of it.
    """
    process, host = record.process, record.machine.get("host", "")
    if record.state != RUNNING:
        return f"it does not train: it is {record.state}"
    if process is None:
        return (
            "its process is not known: run.json lacks it, as of earlier versions and of systems "
            "other than Linux"
        )
    if host != platform.node() or not process.is_of_this_system:
        return f"it trains on another computer or in another container ({host or 'unknown'})"
    if not record.is_locked:
        return "its file system has no locks, so that its process cannot be told for certain"
    if not process.is_alive or not is_held(folder):
        return "its process has ended"
    if not process.has_open(folder):
        return "its process is of another user, or does not have the run folder open"
    return ""


def _record_of(folder: Path) -> RunRecord:
    """Return the record of a run, without the metrics of one that trains."""
    record = stored_record(folder)
    if record.state == RUNNING and record.is_locked and not is_held(folder):
        record.state = KILLED
    return record


def _resume_obstacle(record: RunRecord) -> str:
    if record.state == RUNNING:
        return "it trains"
    if not resume_words(record):
        return "it has no snapshot, or has come to its end"
    return ""


def _no_signal(record: RunRecord, effect: str) -> str:
    known = ", ".join(f"--{name.lower()}_effect={does}" for name, does in record.effects.items())
    what = "lets it stop" if effect == "stop" else "lets it write a snapshot"
    return f"no signal {what}: it was started with {known}"
