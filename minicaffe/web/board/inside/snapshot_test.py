"""A test of a snapshot in a process of its own: `minicaffe test --confusion`, with low priority."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
import weakref
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from minicaffe.errors import MinicaffeError
from minicaffe.web.board.inside.low_priority import lower_priority
from minicaffe.web.jobs.launch import job_environment

_TAIL = 20  # lines of the log that are kept
_BATCH = re.compile(r"Batch (\d+), ")
# Lines of errors, of the log and of the command line.
_ERROR = re.compile(r"(?:[EF]\d{4} [\d:.]+ +\d+ [^ \]]+\] |minicaffe test: |\w*Error: )(.*)")


class TestRefused(MinicaffeError):
    """A test cannot begin, because another one runs."""


@dataclass(frozen=True)
class TestPlan:
    """The snapshot that a test reads, its command, and the folder of its result.

    Parameters
    ----------
    run, weights : str
        Names of the run and of the snapshot, for the page.
    words : tuple of str
        The command and its flags.
    folder : Path
        The working directory.
    result : Path
        The folder of the result, which does not exist or has an older result.
    batches : int
        How many batches are computed.
    """

    run: str
    weights: str
    words: tuple[str, ...]
    folder: Path
    result: Path
    batches: int


class TestRoom:
    """Runs one test at a time; the process ends with this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._test: _RunningTest | None = None

    def start_test(self, plan: TestPlan) -> None:
        """Start a test.

        Raises
        ------
        TestRefused
            If one is running.
        """
        with self._lock:
            if self._test is not None and self._test.is_running:
                known = self._test.plan
                raise TestRefused(f"{known.weights} of {known.run} is being tested; wait or cancel")
            self._test = _RunningTest(plan)

    def progress(self, run: str) -> dict[str, object] | None:
        """Return how far the newest test is, None if it is not of this run."""
        test = self._test
        if test is None or test.plan.run != run:
            return None
        return {
            "weights": test.plan.weights,
            "result": test.plan.result.name,
            "is_running": test.is_running,
            "batch": test.batch,
            "batches": test.plan.batches,
            "error": test.error,
        }

    def cancel(self, run: str) -> None:
        """End the test of a run, if there is one."""
        test = self._test
        if test is not None and test.plan.run == run:
            test.cancel()


class _RunningTest:
    """A process, and a thread that reads its log."""

    def __init__(self, plan: TestPlan) -> None:
        self.plan, self.batch, self.error = plan, 0, ""
        self.is_running, self._is_cancelled = True, False
        self._lines: deque[str] = deque(maxlen=_TAIL)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "minicaffe", *plan.words],
            cwd=plan.folder,
            env={**job_environment(), "GLOG_minloglevel": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        lower_priority(self._process.pid)
        # Also called when the interpreter ends.
        self._end = weakref.finalize(self, self._process.kill)
        threading.Thread(target=self._follow, name="test", daemon=True).start()

    def cancel(self) -> None:
        self._is_cancelled = True
        self._process.terminate()

    def _follow(self) -> None:
        with cast(IO[str], self._process.stderr) as lines:  # a pipe
            for line in lines:
                self._lines.append(line.rstrip())
                if found := _BATCH.search(line):
                    self.batch = int(found[1]) + 1
        code = self._process.wait()
        self._end.detach()
        if code and not self._is_cancelled:
            errors = [found[1] for line in self._lines if (found := _ERROR.match(line))]
            self.error = errors[-1] if errors else f"the test ended with exit code {code}"
        if code:
            with contextlib.suppress(OSError):  # it has an older result, or was never made
                self.plan.result.rmdir()
        self.is_running = False
