"""Starts the processes of jobs, and asks how those of this board have ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import minicaffe
from minicaffe.web.jobs.job import Job
from minicaffe.web.jobs.status import JobStatus, locked_status, status_of

# Takes the handle of the status file and the words of a command (minicaffe/cli/job.py). -P: files
# of the working directory, such as random.py, do not replace modules of Python.
_PROGRAM = (sys.executable, "-P", "-m", "minicaffe.cli.job")


class Launcher:
    """Starts jobs in sessions of their own, so that they outlive the board."""

    def __init__(self) -> None:
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start_process(self, job: Job, folder: Path, status: Path, log: Path) -> bool:
        """Start the process of a job; return False if it has begun before.

        Parameters
        ----------
        job : Job
        folder : Path
            Its working directory.
        status, log : Path
            Its files.

        Raises
        ------
        OSError
            If the files cannot be written or the process cannot be started.
        """
        handle = locked_status(status)
        if handle is None:
            return False
        try:
            known = status_of(handle)
            if known is not None and known.has_begun:
                return False
            JobStatus(tuple(job.words), job.folder).write_into(handle)
            with log.open("ab") as output:
                self._children[job.number] = subprocess.Popen(
                    [*_PROGRAM, str(handle), *job.words],
                    cwd=folder,
                    env=job_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(handle,),
                )
        finally:
            os.close(handle)  # the process has it, and with it the lock
        return True

    def exit_code(self, number: int) -> int | None:
        """Return the exit code of a process that this board has started, None if it has not ended.

        Parameters
        ----------
        number : int
            Of the job.
        """
        child = self._children.get(number)
        return None if child is None else child.poll()

    def reap(self) -> None:
        """Let the system forget the processes that have ended."""
        for child in self._children.values():
            child.poll()

    def close(self) -> None:
        """Leave the processes to themselves."""
        for child in self._children.values():
            if child.poll() is None:
                child.returncode = 0  # otherwise Python warns of a process that still runs
        self._children.clear()


def signal_text(code: int) -> str:
    """Return what a negative exit code says: "killed by SIGKILL"."""
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"


def job_environment() -> dict[str, str]:
    """Return the environment in which a process finds this minicaffe, whatever its folder is."""
    found = dict(os.environ)
    root = Path(minicaffe.__file__).parents[1]
    # A checkout that was started in its folder. Installed packages are found without, and would
    # hide modules of Python if they came first.
    if not {"site-packages", "dist-packages"} & set(root.parts):
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), found.get("PYTHONPATH")]))
    return found
