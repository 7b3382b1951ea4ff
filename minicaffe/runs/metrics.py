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
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from minicaffe.runs.folder import METRICS

Value = str | float | int | None | dict[str, float | None]


@dataclass(frozen=True)
class MetricsRow:
    """A line of metrics.jsonl; `net` is -1 for lines of training."""

    kind: str
    iteration: int
    seconds: float
    outputs: dict[str, float | None]
    net: int = -1


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


def read_metrics(folder: Path) -> list[MetricsRow]:
    """Return the lines of a run in the order of iterations.

    A run that was resumed in its folder repeats iterations: the later lines count. Lines that are
    damaged, as the last one of a full disk, are left out.
    """
    try:
        lines = (folder / METRICS).read_bytes().split(b"\n")
    except OSError:
        return []
    rows: list[MetricsRow] = []
    for line in lines:
        try:
            entry = json.loads(line)
            row = MetricsRow(
                str(entry["kind"]),
                int(entry["iteration"]),
                float(entry["time"]),
                dict(entry["outputs"]),
                int(entry.get("net", -1)),
            )
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
        if _is_repeated(rows, row):
            while rows and rows[-1].iteration >= row.iteration:
                rows.pop()
        rows.append(row)
    return rows


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
