"""The check of a training before it is queued: `minicaffe check` in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minicaffe.web.jobs.launch import job_environment
from minicaffe.web.jobs.queue import JobRefused

_LONGEST_S = 120.0
# A finding of the report; every other line is a fact. Errors before the report are log lines.
_FINDING = re.compile(r"(error|warning) +(.*)")
_LOGGED = re.compile(r"([WEF])\d{4} [\d:.]+ +\d+ [^ \]]+\] (.*)")


@dataclass(frozen=True)
class CheckResult:
    """What a check has found.

    Parameters
    ----------
    is_good : bool
        Whether there is no error.
    facts, errors, warnings : list of str
    """

    is_good: bool
    facts: list[str]
    errors: list[str]
    warnings: list[str]


class TrainingCheck:
    """Checks one training at a time, besides the queue, which may be busy for long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def result(self, words: Sequence[str], folder: Path) -> CheckResult:
        """Run a command and return what it has found.

        Parameters
        ----------
        words : sequence of str
            "check" and its arguments.
        folder : Path
            Working directory.

        Raises
        ------
        JobRefused
            If another check runs, or this one takes too long.
        """
        if not self._lock.acquire(blocking=False):
            raise JobRefused("another check runs; try again when it has ended")
        try:
            ended = subprocess.run(
                [sys.executable, "-P", "-m", "minicaffe", *words],
                cwd=folder,
                env=job_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_LONGEST_S,
            )
        except subprocess.TimeoutExpired:
            raise JobRefused(
                f"the check has not ended in {_LONGEST_S:g} s and was killed"
            ) from None
        finally:
            self._lock.release()
        output, log = (text.decode("utf-8", "replace") for text in (ended.stdout, ended.stderr))
        return _result(ended.returncode, output.splitlines(), log.splitlines())


def _result(code: int, output: list[str], log: list[str]) -> CheckResult:
    facts: list[str] = []
    found: dict[str, list[str]] = {"error": [], "warning": []}
    for line in output:
        if match := _FINDING.match(line):
            found[match[1]].append(match[2])
        else:
            facts.append(line)
    for line in log:
        if match := _LOGGED.match(line):
            found["warning" if match[1] == "W" else "error"].append(match[2])
    if code and not found["error"]:  # the command line, or an exception of the user's code
        found["error"] = log[-3:] or [f"exit code {code}"]
    return CheckResult(code == 0, facts, found["error"], found["warning"])
