"""The file metrics.jsonl: one JSON object a line for each display and each test.

| key | in lines of | value |
|---|---|---|
| kind | | "train" (a display) or "test" |
| iteration | both | number of updates made before |
| epoch | both | passes through the training data, null if their number is unknown |
| time | both | seconds since the training began |
| lr, loss | train | learning rate; mean loss of the last average_loss iterations |
| images_per_s | train | speed since the last display, null at the first |
| net | test | index of the test net |
| outputs | both | the outputs of the net by name |

Numbers have 6 digits, as in the log; those that are not finite are null, because JSON has none.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from minicaffe.runs.appended_lines import AppendedLines
from minicaffe.runs.folder import METRICS

Value = str | float | int | None | dict[str, float | None]


@dataclass(frozen=True, slots=True)
class MetricsRow:
    """A line of metrics.jsonl; `net` is -1 for lines of training.

    `epoch`, `rate`, `loss` and `images_per_s` are None if a line has none.
    """

    kind: str
    iteration: int
    seconds: float
    outputs: dict[str, float | None]
    net: int = -1
    epoch: float | None = None
    rate: float | None = None
    loss: float | None = None
    images_per_s: float | None = None


class MetricsFile:
    """Appends lines to the metrics of a run.

    Parameters
    ----------
    folder : Path
        The run folder.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._file: BinaryIO = (folder / METRICS).open("ab", buffering=0)

    def add(self, row: dict[str, Value]) -> None:
        """Append a line.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        line = (
            f"{json.dumps({key: _for_json(key, value) for key, value in row.items()})}\n".encode()
        )
        written = self._file.write(line)
        if written != len(line):
            self._file.write(line[written:])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class MetricsReader:
    """Reads the metrics of a run again and again: only the lines that are new.

    A run that was resumed in its folder repeats iterations: the later lines count. Lines that are
    damaged, as the last one of a full disk, are left out.

    Parameters
    ----------
    folder : Path
        The run folder.

    Attributes
    ----------
    rows : list of MetricsRow
        In the order of iterations.
    """

    def __init__(self, folder: Path) -> None:
        self._lines = AppendedLines(folder / METRICS)
        self.rows: list[MetricsRow] = []
        self._ends: list[int] = []  # of the rows, in the file
        self._repeats: list[tuple[int, int]] = []  # place in the file, first iteration

    @property
    def offset(self) -> int:
        """Number of bytes of the file that have been read."""
        return self._lines.offset

    def update(self) -> None:
        """Read what is new."""
        data, is_replaced = self._lines.read_new()
        end = self._lines.offset - len(data)
        if is_replaced:
            self.rows, self._ends, self._repeats = [], [], []
        for line in data.splitlines(keepends=True):
            end += len(line)
            row = parse_row(line)
            if row is not None:
                self._add(row, end)

    def since(self, offset: int) -> tuple[list[MetricsRow], int | None]:
        """Return the rows after a place in the file, and the first iteration that they replace.

        Parameters
        ----------
        offset : int
            An earlier value of the attribute `offset`, or 0.

        Returns
        -------
        rows : list of MetricsRow
        replaced : int or None
            Earlier rows of this and later iterations are void; None: all of them count.
        """
        if offset > self._lines.offset:  # of a file that has been replaced
            return self.rows, -1
        replaced = [iteration for place, iteration in self._repeats if place > offset]
        return self.rows[bisect_right(self._ends, offset) :], min(replaced, default=None)

    def _add(self, row: MetricsRow, end: int) -> None:
        if _is_repeated(self.rows, row):
            self._repeats.append((end, row.iteration))
            while self.rows and self.rows[-1].iteration >= row.iteration:
                self.rows.pop()
                self._ends.pop()
        self.rows.append(row)
        self._ends.append(end)


def read_metrics(folder: Path) -> list[MetricsRow]:
    """Return the lines of a run in the order of iterations, as `MetricsReader` does."""
    reader = MetricsReader(folder)
    reader.update()
    return reader.rows


def parse_row(line: bytes) -> MetricsRow | None:
    """Return a line, None if it is damaged."""
    try:
        entry = json.loads(line)
        return MetricsRow(
            str(entry["kind"]),
            int(entry["iteration"]),
            float(entry["time"]),
            dict(entry["outputs"]),
            int(entry.get("net", -1)),
            entry.get("epoch"),
            entry.get("lr"),
            entry.get("loss"),
            entry.get("images_per_s"),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _is_repeated(rows: Sequence[MetricsRow], row: MetricsRow) -> bool:
    """Return whether a resumed run has begun with a row: earlier ones reach as far or further."""
    later = takewhile(lambda known: known.iteration >= row.iteration, reversed(rows))
    return any(
        known.iteration > row.iteration or (known.kind, known.net) == (row.kind, row.net)
        for known in later
    )


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _for_json(key: str, value: Value) -> Value:
    if isinstance(value, dict):
        return {name: None if one is None else _number(one) for name, one in value.items()}
    return _number(value) if isinstance(value, float) and key != "time" else value
