"""The queue: jobs begin in their order, a given number at a time, whichever board starts them."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from minicaffe.errors import DataError, MinicaffeError
from minicaffe.log import logger
from minicaffe.runs.folder import RUNS, is_run
from minicaffe.runs.process import ProcessIdentity
from minicaffe.runs.record import FAILED, FINISHED, RUNNING, STOPPED, RunRecord, stored_record
from minicaffe.web.board.folder import BoardFolder
from minicaffe.web.jobs.job import ACTIVE, WAITING, Job, JobBook, now_text
from minicaffe.web.jobs.launch import Launcher, signal_text
from minicaffe.web.jobs.status import JobStatus, is_locked, read_status
from minicaffe.web.jobs.store import JobStore

_MOST_KEPT = 200  # jobs that have ended
_MOST_WAITING = 1000
_NEWEST_RUNS = 20  # that are searched for the one of a job
_INTERRUPTED = 130
_TAIL_BYTES = 16384
_MOST_MESSAGES = 5
# Lines of errors, of the log and of the command line.
_LOGGED = re.compile(r"[EF]\d{4} [\d:.]+ +\d+ [^ \]]+\] (.*)")
_PRINTED = re.compile(r"(?:minicaffe(?: \w+)?|\w*Error): .*")


class JobRefused(MinicaffeError):
    """A change of the queue that its state does not allow."""


class JobQueue:
    """Adds, starts, cancels and orders jobs.

    Parameters
    ----------
    folder : BoardFolder
    commands : sequence of str
        The commands that jobs may run.

    Attributes
    ----------
    problem : str
        Why the queue does not go on, or "".
    """

    def __init__(self, folder: BoardFolder, commands: Sequence[str]) -> None:
        self.problem = ""
        self._told: set[ProcessIdentity] = set()
        self._folder, self._commands = folder, frozenset(commands)
        self._store, self._launcher = JobStore(folder.root), Launcher()

    def jobs(self) -> list[Job]:
        """Return all jobs: those that wait in their order, and those that run or have ended."""
        return self._store.book().jobs

    def log_path(self, number: int) -> Path:
        """Return the path of the log of a job."""
        return self._store.log_path(number)

    def enqueue(self, words: Sequence[str], folder: Path) -> Job:
        """Append a job.

        Parameters
        ----------
        words : sequence of str
            Command and arguments.
        folder : Path
            Working directory, below that of the board.

        Raises
        ------
        JobRefused
            If the same command waits or runs in this folder, or too many jobs wait.
        """
        place = folder.relative_to(self._folder.root).as_posix()
        with self._store.changing() as book:
            for job in book.jobs:
                if job.state in ACTIVE and (job.words, job.folder) == ([*words], place):
                    raise JobRefused(f"job {job.number} is the same and is {job.state}")
            if len(book.in_state(WAITING)) >= _MOST_WAITING:
                raise JobRefused(f"{_MOST_WAITING} jobs wait already; cancel some")
            job = Job(book.following, [*words], place, created=now_text())
            book.following += 1
            book.jobs.append(job)
            self._forget_old(book)
        return job

    def repeat(self, number: int) -> Job:
        """Append a job that has the command of another one, which has ended."""
        job = self.job(number)
        if job.state in ACTIVE:
            raise JobRefused(f"job {number} is {job.state}")
        return self.enqueue(job.words, self._folder.path_below(job.folder))

    def job(self, number: int) -> Job:
        """Return a job; raise DataError if there is none of the number."""
        return _found(self._store.book(), number)

    def cancel(self, number: int, at_once: bool = False) -> None:
        """End a job that waits or runs.

        Parameters
        ----------
        number : int
        at_once : bool
            Whether a process is killed. Otherwise it is interrupted: a training stops with a
            snapshot.
        """
        with self._store.changing() as book:
            job = _found(book, number)
            if job.state in ACTIVE:
                self._look_at(job)
            if job.state not in ACTIVE:
                raise JobRefused(f"job {number} has ended: it is {job.state}")
            job.is_cancelled = True
            if job.state == WAITING:
                job.state, job.ended = STOPPED, now_text()
            elif job.process is not None and not job.process.is_of_this_system:
                raise JobRefused(f"job {number} runs on another computer, or in another container")
            elif at_once:
                if job.process is None or not job.process.send(signal.SIGKILL):
                    raise JobRefused(f"job {number}: its process is not known")
            elif job.is_signalled:
                raise JobRefused(f"job {number} is stopping already")
            elif not self._interrupt(job, book):
                raise JobRefused(f"job {number}: its training ignores signals; kill it")

    def remove_ended(self, number: int) -> None:
        """Remove a job that has ended, and its log."""
        with self._store.changing() as book:
            job = _found(book, number)
            if job.state in ACTIVE:
                raise JobRefused(f"job {number} is {job.state}; cancel it first")
            book.jobs.remove(job)
        self._store.remove_files(number)

    def order(self, numbers: Sequence[int]) -> None:
        """Let jobs that wait begin in a given order; others that wait follow them."""
        with self._store.changing() as book:
            waiting = book.in_state(WAITING)
            first = [
                job for number in dict.fromkeys(numbers) for job in waiting if job.number == number
            ]
            rest = [job for job in waiting if job not in first]
            book.jobs = [job for job in book.jobs if job not in waiting] + first + rest

    def note_stop(self, process: ProcessIdentity) -> bool:
        """Note that a training is told to stop; return False if it has been told before."""
        is_new = process not in self._told
        self._told.add(process)
        try:
            with self._store.changing() as book:
                return _note_stop(book, process)
        except MinicaffeError:  # a training can be stopped where no queue can be written, too
            return is_new

    def is_stopping(self, process: ProcessIdentity) -> bool:
        """Return whether a training was told to stop."""
        return process in self._told or process in self._store.book().stopping

    def look_after(self, limit: int) -> None:
        """Look after the jobs that run, and start as many that wait as may run.

        Parameters
        ----------
        limit : int
            The largest number of jobs that run at a time.

        Raises
        ------
        MinicaffeError
            If the queue cannot be written.
        """
        self._launcher.reap()
        book = self._store.book()
        if not any(job.state in ACTIVE for job in book.jobs):
            self.problem = ""
            return
        with self._store.changing() as book:
            book.stopping = [process for process in book.stopping if process.is_alive]
            for job in book.jobs:
                if job.state in ACTIVE:
                    self._look_at(job)
                if job.state == RUNNING and job.is_cancelled and not job.is_signalled:
                    self._interrupt(job, book)
            n_free = limit - len(book.in_state(RUNNING))
            self.problem = ""
            for job in book.in_state(WAITING)[: max(n_free, 0)]:
                self._start(job)

    def close(self) -> None:
        """Leave the jobs that run to themselves."""
        self._launcher.close()

    def _look_at(self, job: Job) -> None:
        """Set the state of a job to what its process says."""
        path = self._store.status_path(job.number)
        status = read_status(path)
        if status is None and job.state == WAITING:
            return
        status = status or JobStatus()
        # The lock comes first: a process that has ended after this has written its exit code.
        holds = is_locked(path)
        status = read_status(path) or status
        if status.exit_code is None and holds:
            job.state = RUNNING
            job.started = job.started or now_text()
            job.process = status.process
            if job.words[0] == "train" and not job.run:
                job.run = self._run_of(job)
        elif job.state == RUNNING or status.has_begun:
            self._settle(job, status)

    def _settle(self, job: Job, status: JobStatus) -> None:
        """Note how a job has ended."""
        job.process = job.process or status.process
        if job.words[0] == "train" and not job.run:
            job.run = self._run_of(job)
        code = status.exit_code
        if code is None:
            code = self._launcher.exit_code(job.number)
        job.exit_code, job.ended = code, status.ended or now_text()
        if code == 0:
            job.state = self._state_at_end(job)
        elif code == _INTERRUPTED or job.is_cancelled:
            job.state = STOPPED
        else:
            job.state, job.error = FAILED, self._error_of(job, code)

    def _state_at_end(self, job: Job) -> str:
        """Return the state of a job without an error: a training may have been stopped."""
        record = self._record(job)
        if record is not None:
            return STOPPED if record.state == STOPPED else FINISHED
        return STOPPED if job.is_cancelled and job.words[0] == "train" else FINISHED

    def _start(self, job: Job) -> None:
        number = job.number
        try:
            if job.words[0] not in self._commands:
                raise DataError(f"no job may run the command {job.words[0]}")
            folder = self._folder.root / job.folder
            if not folder.resolve().is_relative_to(self._folder.root) or not folder.is_dir():
                raise DataError(f"{job.folder}: no such folder below that of the board")
            files = self._store.status_path(number), self._store.log_path(number)
            if self._launcher.start_process(job, folder, *files):
                job.state, job.started = RUNNING, now_text()
                logger.info(f"job {number} begins in {folder}: {job.command}")
        except DataError as error:
            job.state, job.error, job.ended = FAILED, str(error), now_text()
        except OSError as error:  # a full disk, too many processes: tried again
            self.problem = f"job {number} cannot be started: {error.strerror or error}"

    def _interrupt(self, job: Job, book: JobBook) -> bool:
        """Send the signal that ends the process of a job, if that is known already.

        Returns
        -------
        bool
            False if no signal ends it.
        """
        if job.process is None:
            return True
        job.is_signalled = True
        record = self._record(job)
        effects = record.effects if record is not None else {}
        number = stop_signal(effects) if effects else signal.SIGINT
        if number is not None and _note_stop(book, job.process):
            job.process.send(number)
        return number is not None

    def _record(self, job: Job) -> RunRecord | None:
        try:
            return stored_record(self._folder.root / job.run) if job.run else None
        except DataError:
            return None

    def _run_of(self, job: Job) -> str:
        """Return the name of the run that the process of a job trains, "" if there is none."""
        folder = self._folder.root / job.folder / RUNS
        try:
            runs = sorted(filter(is_run, folder.iterdir()), key=lambda path: -path.stat().st_mtime)
        except OSError:
            return ""
        for path in runs[:_NEWEST_RUNS]:
            try:
                record = stored_record(path)
            except DataError:
                continue
            if record.process is not None and record.process == job.process:
                return path.relative_to(self._folder.root).as_posix()
        return ""

    def _error_of(self, job: Job, code: int | None) -> str:
        """Return why a job has failed: the command's own message, if there is one."""
        if code is None:
            return "killed, or the computer was switched off"
        if code < 0:
            return signal_text(code)
        lines = last_lines(self._store.log_path(job.number))
        messages = [found[1] for line in lines if (found := _LOGGED.match(line))]
        messages = messages or [line for line in lines if _PRINTED.match(line)]
        return "\n".join(messages[-_MOST_MESSAGES:] or lines[-1:])

    def _forget_old(self, book: JobBook) -> None:
        ended = [job for job in book.jobs if job.state not in ACTIVE]
        for job in ended[:-_MOST_KEPT]:
            book.jobs.remove(job)
            self._store.remove_files(job.number)


def stop_signal(effects: dict[str, str], effect: str = "stop") -> signal.Signals | None:
    """Return the signal at which a training stops, or writes a snapshot.

    Parameters
    ----------
    effects : dict of str to str
        Those of `RunRecord`.
    effect : str
        "stop" or "snapshot".
    """
    names = ("SIGINT", "SIGHUP", "SIGTERM")
    return next((signal.Signals[name] for name in names if effects.get(name) == effect), None)


def last_lines(path: Path) -> list[str]:
    """Return the last lines of a log; [] if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, 2) - _TAIL_BYTES, 0))
            data = file.read(_TAIL_BYTES)
    except OSError:
        return []
    return data.decode("utf-8", "replace").splitlines()


def _found(book: JobBook, number: int) -> Job:
    job = book.job_of(number)
    if job is None:
        raise DataError(f"no job {number}")
    return job


def _note_stop(book: JobBook, process: ProcessIdentity) -> bool:
    if process in book.stopping:
        return False
    book.stopping.append(process)
    for job in book.in_state(RUNNING):
        if job.process == process:
            job.is_cancelled = job.is_signalled = True
    return True
