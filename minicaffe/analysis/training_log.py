"""Parser of training logs of minicaffe, Caffe and its forks.

It reads the lines of iterations, net outputs and learning rates, whose format has not changed since
2014 (before, outputs had no names: "Test score #0: 0.9"):

    I1122 06:49:14.635393  4541 solver.cpp:239] Iteration 100 (23 iter/s, 4s/100 iters), loss = 0.7
    I1122 06:49:14.635483  4541 solver.cpp:258]     Train net output #0: loss = 0.7 (* 1 = 0.7 loss)
    I1122 06:49:14.635495  4541 sgd_solver.cpp:112] Iteration 100, lr = 0.00992565

Logs of resumed runs may be concatenated: lines of repeated iterations replace earlier ones, and the
time between the runs is not counted.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.text_file import ForeignBytes, read_text

_NUMBER = r"([-+]?(?:nan|inf(?:inity)?|(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?))"
# Prefix of glog: severity, optional year, month and day, time, thread, file and line.
_LINE = re.compile(
    r"[IWEF](?:\d{4})?(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?\s+\S+\s+\S+\]\s?(.*)"
)
# More digits than of any iteration are damage, and int() refuses thousands.
_ITERATION = re.compile(r"Iteration (\d{1,18})(?!\d)")
_LOSS = re.compile(rf"Iteration \d+.*, loss = {_NUMBER}", re.IGNORECASE)
_RATE = re.compile(rf"\blr = {_NUMBER}", re.IGNORECASE)
_TESTING = re.compile(r"Testing net \(#(\d{1,18})\)")
_OUTPUT = re.compile(
    rf"(Train|Test) net output #\d+: (\S+) = {_NUMBER}(?: \(\*.*loss\))?", re.IGNORECASE
)
# Caffe of 2014 and before: outputs without names.
_SCORE = re.compile(rf"Test score #(\d+): {_NUMBER}", re.IGNORECASE)
_YEAR = 2000  # the prefix has no year; a leap year accepts the 29th of February


@dataclass
class LogRow:
    """Logged values of one iteration.

    Attributes
    ----------
    iteration : int
    seconds : float
        Time since the start of training, without pauses between concatenated runs.
    values : dict of str to float
        By name of the output; values may be NaN.
    """

    iteration: int
    seconds: float
    values: dict[str, float] = field(default_factory=dict)


@dataclass
class TrainingLog:
    """Contents of a training log.

    Attributes
    ----------
    path : str
    train, test : list of LogRow
        Outputs of the nets. Further values of one output are named ``name[1]``, ``name[2]``, those
        of further test nets ``name#1``, ``name#2``.
    loss : list of LogRow
        "loss" of the iteration lines, which is the mean of the last average_loss iterations.
    rates : list of (int, float)
        Iterations, in ascending order, and the learning rates logged there.
    loss_names : set of str
        Names of the outputs that are losses.
    """

    path: str
    train: list[LogRow] = field(default_factory=list)
    test: list[LogRow] = field(default_factory=list)
    loss: list[LogRow] = field(default_factory=list)
    rates: list[tuple[int, float]] = field(default_factory=list)
    loss_names: set[str] = field(default_factory=set)

    def rate_at(self, iteration: int) -> float:
        """Return the last rate logged up to an iteration, or the first one; NaN without any."""
        after = bisect_right(self.rates, iteration, key=lambda entry: entry[0])
        return self.rates[max(after - 1, 0)][1] if self.rates else float("nan")

    def names(self, rows: list[LogRow]) -> list[str]:
        """Return the names of all outputs in rows, in order of first occurrence."""
        return list(dict.fromkeys(name for row in rows for name in row.values))

    def remove_from(self, iteration: int) -> int:
        """Remove the rows of `iteration` and later ones; return the number of removed rows."""
        before = self._size()
        for name in ("train", "test", "loss"):
            rows: list[LogRow] = getattr(self, name)
            setattr(self, name, [row for row in rows if row.iteration < iteration])
        self.rates = [entry for entry in self.rates if entry[0] < iteration]
        return before - self._size()

    def _size(self) -> int:
        return len(self.train) + len(self.test) + len(self.loss)


def read_log(path: str | Path) -> TrainingLog:
    """Read a training log.

    Raises
    ------
    DataError
        If the file cannot be read, or no line names an iteration.
    """
    reader = _Reader(str(path))
    for seconds, message in timed_lines(path):
        reader.add_message(seconds, message)
    log = reader.log
    if log.loss and not log.train:
        # Logs of 2014, and of nets without outputs, have the smoothed loss only.
        log.train = [LogRow(row.iteration, row.seconds, dict(row.values)) for row in log.loss]
        log.loss_names.add("loss")
    if not (log.loss or log.train or log.test):
        raise DataError(
            f"{path}: no line of training (Iteration 100, loss = ...). Give what train writes to "
            "stderr: minicaffe train ... 2>&1 | tee train.log"
        )
    return log


def iteration_seconds(path: str | Path) -> list[float]:
    """Return the elapsed seconds of every line that names an iteration."""
    times = [seconds for seconds, message in timed_lines(path) if "Iteration" in message]
    if not times:
        raise DataError(f"{path}: no line names an iteration; is this a training log?")
    return times


def timed_lines(path: str | Path) -> Iterator[tuple[float, str]]:
    """Yield seconds since "Solving" (or the first line) and the message of every log line.

    A further "Solving" continues from the last time, so that pauses between runs do not count.
    """
    text = read_text(path, "the log", ForeignBytes.REPLACE)
    clock = _Clock()
    for line in text.split("\n"):
        if found := _LINE.match(line):
            *stamp, message = found.groups()
            try:
                seconds = clock.seconds(stamp, message.startswith("Solving "))
            except (ValueError, OverflowError):  # there is no such day or time
                continue
            yield seconds, message


class _Clock:
    """Converts timestamps without a year to elapsed seconds."""

    def __init__(self) -> None:
        self.start: datetime | None = None
        self.last = datetime(_YEAR, 1, 1)
        self.years = timedelta()
        self.has_started = False

    def seconds(self, stamp: list[str | None], starts: bool) -> float:
        """Return the elapsed seconds of a line from its timestamp: month to second, fraction."""
        month, day, hour, minute, second = (int(part or 0) for part in stamp[:5])
        micros = int((stamp[5] or "0").ljust(6, "0"))
        now = datetime(_YEAR, month, day, hour, minute, second, micros) + self.years
        if self.start is not None and now < self.last - timedelta(days=180):
            self.years += timedelta(days=366)  # the year has changed
            now += timedelta(days=366)
        if self.start is None or (starts and not self.has_started):
            self.start = now
        elif starts:
            self.start += now - self.last
        self.has_started |= starts
        self.last = now
        return (now - self.start).total_seconds()


class _Reader:
    """Builds a TrainingLog from messages."""

    def __init__(self, path: str) -> None:
        self.log = TrainingLog(path)
        self.iteration: int | None = None
        self.test_net = 0
        self.begins = False
        self.seen: dict[str, int] = {}

    def add_message(self, seconds: float, message: str) -> None:
        if message.startswith("Solving "):
            self.begins = True
        elif found := _ITERATION.search(message):
            self._iterate(int(found[1]), seconds, message)
        elif self.iteration is not None and (found := _OUTPUT.search(message)):
            self._output(found, seconds)
        elif self.iteration is not None and (found := _SCORE.search(message)):
            self._row(self.log.test, seconds).values[f"score#{found[1]}"] = float(found[2])

    def _iterate(self, iteration: int, seconds: float, message: str) -> None:
        if self.begins and (dropped := self.log.remove_from(iteration)):
            logger.info(
                f"{self.log.path}: a later run starts at iteration {iteration} and replaces "
                f"{dropped} lines of the earlier one."
            )
        self.begins = False
        self.iteration, self.seen = iteration, {}
        if testing := _TESTING.search(message):
            self.test_net = int(testing[1])
        if loss := _LOSS.search(message):
            self._row(self.log.loss, seconds).values["loss"] = float(loss[1])
        if rate := _RATE.search(message):
            self.log.rates.append((iteration, float(rate[1])))

    def _output(self, found: re.Match[str], seconds: float) -> None:
        kind, name, value = found.groups()
        nth = self.seen.get(name, 0)
        self.seen[name] = nth + 1
        is_test = kind.lower() == "test"
        column = name + (f"[{nth}]" if nth else "")
        column += f"#{self.test_net}" if is_test and self.test_net else ""
        rows = self.log.test if is_test else self.log.train
        self._row(rows, seconds).values[column] = float(value)
        if found[0].endswith("loss)"):
            self.log.loss_names.add(column)

    def _row(self, rows: list[LogRow], seconds: float) -> LogRow:
        """Return the row of the current iteration; create it if it does not exist."""
        iteration = self.iteration or 0
        if not rows or rows[-1].iteration != iteration:
            rows.append(LogRow(iteration, seconds))
        return rows[-1]
