"""The file run.json: what a training was and how it went."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from minicaffe.atomic_file import is_held, write_atomically
from minicaffe.errors import DataError
from minicaffe.runs.folder import RECORD
from minicaffe.runs.process import ProcessIdentity
from minicaffe.runs.progress import Reads, RunProgress

# States that run.json has; of a process that ended without writing one, "killed" is shown.
RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"
KILLED = "killed"


@dataclass
class ScoredIteration:
    """The score of a test, and the weights that were kept of it, None without any."""

    iteration: int
    value: float
    weights: str | None = None


@dataclass
class RunRecord:
    """The contents of run.json.

    Attributes
    ----------
    command, overrides : list of str
        The words after "minicaffe", and those of them that change settings of the solver or net.
    folder : str
        The working directory, to which paths are relative.
    versions, machine : dict of str to str
    seed : int
    started, ended : str
        ISO 8601 with the time zone; "" while it runs.
    state, error : str
        "running", "finished", "stopped" or "failed", and why.
    is_locked : bool
        Whether the process holds the lock of the folder while it runs.
    first_iteration, iteration, max_iter : int
        Where this process began, how far it came, and the solver's setting.
    images_per_iteration : int or None
        Batch size times iter_size, over all processes.
    seconds : float
        Time of training, tests included.
    score : dict
        "output", "net" and "best", which is "max" or "min"; {} if nothing is tested.
    best, last : ScoredIteration or None
    test_iter : list of int
        Number of batches of each test net.
    snapshot : dict of str to str
        "weights" and "state" of the newest snapshot; {} without any.
    process : ProcessIdentity or None
        Which process trains or trained; None if the system does not tell.
    effects : dict of str to str
        What it does at a signal: "SIGINT" to "stop", "snapshot" or "none".
    processes : int
        How many processes train.
    hosts : list of str
        Their machines, by rank; [] for one process.
    """

    command: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    folder: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    started: str = ""
    ended: str = ""
    state: str = RUNNING
    error: str = ""
    is_locked: bool = False
    first_iteration: int = 0
    iteration: int = 0
    max_iter: int = 0
    images_per_iteration: int | None = None
    seconds: float = 0.0
    score: dict[str, str | int] = field(default_factory=dict)
    best: ScoredIteration | None = None
    last: ScoredIteration | None = None
    test_iter: list[int] = field(default_factory=list)
    snapshot: dict[str, str] = field(default_factory=dict)
    process: ProcessIdentity | None = None
    effects: dict[str, str] = field(default_factory=dict)
    processes: int = 1
    hosts: list[str] = field(default_factory=list)

    @property
    def images_per_s(self) -> float | None:
        """Images trained on a second, tests included in the time."""
        if not self.images_per_iteration or not self.seconds:
            return None
        return (self.iteration - self.first_iteration) * self.images_per_iteration / self.seconds

    def write_to(self, folder: Path) -> None:
        """Write run.json, atomically.

        Raises
        ------
        SnapshotError
            If it cannot be written.
        """
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        with write_atomically(folder / RECORD) as file:
            file.write(text.encode("utf-8", "backslashreplace") + b"\n")


def read_record(folder: Path) -> RunRecord:
    """Read run.json; for a run that has not ended, complete it from the metrics.

    Raises
    ------
    DataError
        If the file cannot be read or is damaged.
    """
    record = stored_record(folder)
    if record.state == RUNNING:
        reads: Reads = "all" if record.first_iteration else "tests"
        progress = RunProgress(folder, record.score, reads)
        progress.update()
        return completed_record(record, progress, folder)
    return record


def stored_record(folder: Path) -> RunRecord:
    """Read run.json as it was written; the state of a killed run is "running".

    Raises
    ------
    DataError
        If the file cannot be read or is damaged.
    """
    path = folder / RECORD
    try:
        values = json.loads(path.read_bytes())
        record = RunRecord(**values)
        for name in ("best", "last"):
            if getattr(record, name) is not None:
                setattr(record, name, ScoredIteration(**getattr(record, name)))
        if values.get("process") is not None:
            record.process = ProcessIdentity(**values["process"])
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{path}: damaged: {error}. Remove the folder if you do not need it."
        ) from None
    return record


def completed_record(record: RunRecord, progress: RunProgress, folder: Path) -> RunRecord:
    """Return the record of a run that has not written its end, with what the metrics say.

    Parameters
    ----------
    record : RunRecord
        As stored, with the state "running".
    progress : RunProgress
        Of the same run.
    folder : Path
        The run folder, whose lock shows whether the process still trains.
    """
    is_killed = record.is_locked and not is_held(folder)
    found = replace(record, state=KILLED if is_killed else RUNNING)
    if progress.latest is not None:
        found.iteration, found.seconds = progress.latest.iteration, progress.latest.seconds
    if progress.scores:
        found.last, found.best = (ScoredIteration(*one) for one in (progress.last, progress.best))
    return found
