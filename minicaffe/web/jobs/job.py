"""A job: a command that waits for this computer, runs on it, or has run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from datetime import datetime

from minicaffe.runs.process import ProcessIdentity
from minicaffe.runs.record import RUNNING

WAITING = "waiting"
ACTIVE = frozenset({WAITING, RUNNING})


@dataclass
class Job:
    """An entry of the queue.

    Attributes
    ----------
    number : int
        Its name.
    words : list of str
        Command and arguments, after "minicaffe".
    folder : str
        Working directory, relative to the folder of the board.
    state : str
        "waiting", "running", "finished", "failed" or "stopped".
    created, started, ended : str
        ISO 8601 with the time zone, or "".
    exit_code : int or None
        Of its process; negative: the signal that has killed it; None if nobody knows.
    error : str
        Why it has failed.
    run : str
        Name of the run that it trains, or "".
    is_cancelled : bool
        Whether a reader has ended it.
    is_signalled : bool
        Whether its process has been told.
    process : ProcessIdentity or None
    """

    number: int
    words: list[str]
    folder: str = "."
    state: str = WAITING
    created: str = ""
    started: str = ""
    ended: str = ""
    exit_code: int | None = None
    error: str = ""
    run: str = ""
    is_cancelled: bool = False
    is_signalled: bool = False
    process: ProcessIdentity | None = None

    @classmethod
    def of_json(cls, values: dict[str, object]) -> Job:
        """Return the job of an entry of jobs.json.

        Raises
        ------
        TypeError
            If it is none.
        """
        process = values.pop("process")
        # Any: what JSON holds is checked below.
        job = cls(**values)  # type: ignore[arg-type]
        texts = (job.folder, job.state, job.error, job.run, *job.words)
        if not job.words or not all(isinstance(one, str) for one in texts):
            raise TypeError("no job")
        if isinstance(process, dict):
            job.process = ProcessIdentity(**process)
        return job

    @property
    def command(self) -> str:
        """The command line, for readers."""
        return shlex.join(["minicaffe", *self.words])


@dataclass
class JobBook:
    """The contents of jobs.json.

    Attributes
    ----------
    following : int
        Number of the next job.
    jobs : list of Job
        In the order in which those that wait begin.
    stopping : list of ProcessIdentity
        Trainings that were told to stop: a second signal would stop them without a snapshot.
    """

    following: int = 1
    jobs: list[Job] = field(default_factory=list)
    stopping: list[ProcessIdentity] = field(default_factory=list)

    def job_of(self, number: int) -> Job | None:
        """Return the job of a number, None without one."""
        return next((job for job in self.jobs if job.number == number), None)

    def in_state(self, state: str) -> list[Job]:
        """Return the jobs in a state, in their order."""
        return [job for job in self.jobs if job.state == state]


def now_text() -> str:
    """Return the time in ISO 8601."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
