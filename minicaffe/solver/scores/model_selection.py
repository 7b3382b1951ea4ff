"""The score of a training: which output of the tests it is, and its best and last values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from minicaffe.net import Net
from minicaffe.schema import SolverParameter
from minicaffe.solver.reports import ScoreReport
from minicaffe.solver.scores.output_scores import scalar_outputs

# Parts of the names of outputs that are better the smaller they are.
_COSTS = ("loss", "err", "cost")


@dataclass(frozen=True)
class Score:
    """The value of the score in one test."""

    iteration: int
    value: float


@dataclass(frozen=True)
class ScoreOutput:
    """The output of a test net that tells models apart.

    Attributes
    ----------
    net : int
        Index of the test net.
    name : str
        The blob.
    is_maximum : bool
        Whether the largest value is the best.
    """

    net: int
    name: str
    is_maximum: bool

    def value(self, report: ScoreReport) -> float | None:
        """Return the output's value in a report, None if the report is of another test net."""
        return report.outputs.get(self.name) if report.net == self.net else None

    def is_better(self, value: float, best: float) -> bool:
        """Return whether a value is better than the best one so far; NaN is not."""
        return value > best if self.is_maximum else value < best


class ModelSelection:
    """Follows the score of a training.

    Attributes
    ----------
    output : ScoreOutput or None
        By default the first output of a test net that is one number and no loss, otherwise the
        first that is one number; None if there is none.
    best, last : Score or None
        None before the first test.
    """

    def __init__(self, param: SolverParameter, test_nets: Sequence[Net]) -> None:
        self.output = _default_output(param, test_nets)
        self.best: Score | None = None
        self.last: Score | None = None

    def add(self, report: ScoreReport) -> None:
        """Add the scores of a test net."""
        value = self.output.value(report) if self.output is not None else None
        if self.output is None or value is None:
            return
        self.last = Score(report.iteration, value)
        if not math.isnan(value) and (
            self.best is None or self.output.is_better(value, self.best.value)
        ):
            self.best = self.last


def _default_output(param: SolverParameter, test_nets: Sequence[Net]) -> ScoreOutput | None:
    found = [
        (k, name, name in net.loss_weights())
        for k, net in enumerate(test_nets)
        if param.test_iter[k]
        for name in scalar_outputs(net)
    ]
    if not found:
        return None
    k, name, is_loss = min(found, key=lambda entry: entry[2])
    return ScoreOutput(k, name, not (is_loss or _is_cost(name)))


def _is_cost(name: str) -> bool:
    return any(part in name.lower() for part in _COSTS)
