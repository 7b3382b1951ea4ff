"""How far a run has come, read from few lines of its metrics and only what is new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from minicaffe.runs.appended_lines import AppendedLines
from minicaffe.runs.folder import METRICS
from minicaffe.runs.metrics import MetricsRow, parse_row

Reads = Literal["all", "tests", "curve"]

_MOST_SAMPLED = 200  # lines
# Bytes that are read whole, and of the end of more.
_SHORT, _TAIL = 1 << 16, 1 << 12


class RunProgress:
    """Follows the score of a run: reads its tests and its first and last lines.

    Parameters
    ----------
    folder : Path
        The run folder.
    score : dict
        As in `RunRecord`. Without one, the loss takes its place in `curve`.
    reads : "all", "tests" or "curve"
        Which lines of a long file are read: all, if a resumed run may repeat iterations; the tests,
        for the best score; or as many as `curve` needs.

    Attributes
    ----------
    first, latest : MetricsRow or None
        The first and the last line.
    images_per_s : float or None
        The last speed.
    scores : list of tuple of int and float
        Iteration and value of each test.
    """

    def __init__(self, folder: Path, score: Mapping[str, str | int], reads: Reads) -> None:
        self._lines = AppendedLines(folder / METRICS)
        self._output, self._net = score.get("output"), score.get("net")
        self._is_maximum = score.get("best") == "max"
        self._reads: Reads = reads
        self._clear()

    def update(self) -> bool:
        """Read what is new; return whether anything is."""
        data, is_replaced = self._lines.read_new()
        if is_replaced:
            self._clear()
        for line in self._chosen(data):
            row = parse_row(line)
            if row is not None:
                self._add(row)
        return is_replaced or bool(data)

    @property
    def last(self) -> tuple[int, float]:
        """The last score."""
        return self.scores[-1]

    @property
    def best(self) -> tuple[int, float]:
        """The best score, the earliest of several."""
        choose = max if self._is_maximum else min
        return choose(self.scores, key=lambda score: score[1])

    @property
    def seconds_per_iteration(self) -> float | None:
        """Mean time of an iteration, tests included; None before the second line."""
        if self.first is None or self.latest is None:
            return None
        n = self.latest.iteration - self.first.iteration
        return (self.latest.seconds - self.first.seconds) / n if n > 0 else None

    def curve(self, most: int) -> list[tuple[int, float]]:
        """Return at most so many of the scores, or of the losses if nothing is tested."""
        points = self.scores if self._output else self._losses
        if len(points) <= most:
            return points
        step = (len(points) - 1) / (most - 1)
        return [points[round(k * step)] for k in range(most)]

    def _clear(self) -> None:
        self.first: MetricsRow | None = None
        self.latest: MetricsRow | None = None
        self.images_per_s: float | None = None
        self.scores: list[tuple[int, float]] = []
        self._losses: list[tuple[int, float]] = []

    def _add(self, row: MetricsRow) -> None:
        if self.latest is not None and row.iteration < self.latest.iteration:
            _remove_from(self.scores, row.iteration)
            _remove_from(self._losses, row.iteration)
        self.latest = row
        self.first = self.first or row
        if row.kind == "train":
            self.images_per_s = row.images_per_s or self.images_per_s
        if row.kind == "train" and row.loss is not None:
            _remove_from(self._losses, row.iteration)
            self._losses.append((row.iteration, row.loss))
            if len(self._losses) > 2 * _MOST_SAMPLED:
                del self._losses[1::2]
        value = row.outputs.get(str(self._output))
        if row.kind == "test" and row.net == self._net and value is not None:
            _remove_from(self.scores, row.iteration)
            self.scores.append((row.iteration, value))

    def _chosen(self, data: bytes) -> list[bytes]:
        """Return the lines to read: of many, the first, the tests or some displays, the last."""
        if self._reads == "all" or len(data) <= _SHORT:
            return data.splitlines()
        tail = data.find(b"\n", len(data) - _TAIL) + 1
        step = 1 if self._output and self._reads == "tests" else len(data) // _MOST_SAMPLED
        # As MetricsFile writes the lines of tests; those of displays have no net.
        mark = f'"net": {self._net},'.encode() if self._output else b"\n"
        starts = {0, *(data.rfind(b"\n", 0, place) + 1 for place in _places(data, mark, step))}
        chosen = [data[k : data.find(b"\n", k)] for k in sorted(starts) if k < tail]
        return chosen + data[tail:].splitlines()


def _places(data: bytes, mark: bytes, step: int) -> Iterator[int]:
    """Yield where a mark is, of those in `step` bytes the first one only."""
    place = data.find(mark)
    while place >= 0:
        yield place
        place = data.find(mark, max(place + 1, (place // step + 1) * step))


def _remove_from(points: list[tuple[int, float]], iteration: int) -> None:
    while points and points[-1][0] >= iteration:
        points.pop()
