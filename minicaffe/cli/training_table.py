"""Compact output of a training on a terminal: one line for each test instead of Caffe's log."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from minicaffe.cli.streams import terminal_width
from minicaffe.text.colours import coloured, has_colours
from minicaffe.text_width import display_width, padded

if TYPE_CHECKING:
    from minicaffe.runs.recorder import RunRecorder
    from minicaffe.solver.reports import DisplayReport, ScoreReport
    from minicaffe.solver.solver import Solver

_WIDTH = 10  # of a column, if its name is not longer; the usual columns fit into a terminal of 80
_SMALL_WIDTHS = {"epoch": 8, "images/s": 9}
_MOST_OUTPUTS = 6
_SPARE = ("train loss", "epoch", "lr", "images/s")  # are left out first, the last one before all
_LEAST_COLUMNS = 2


class TrainingTable:
    """Prints a line for each test, or for each display of a training without tests.

    Parameters
    ----------
    solver : Solver
        Observed from now on.
    recorder : RunRecorder
        Knows the epochs and the run folder.
    """

    def __init__(self, solver: Solver, recorder: RunRecorder) -> None:
        self._solver, self._recorder = solver, recorder
        self._displays: list[DisplayReport] = []
        self._scores: dict[str, float] = {}
        self._widths: dict[str, int] = {}  # of the columns, by name
        tested = [k for k, n in enumerate(solver.param.test_iter) if n]
        self._last_net = tested[-1] if tested and solver.param.test_interval else -1
        solver.observers.displays.append(self._add_display)
        solver.observers.tests.append(self._add_scores)

    def print_head(self) -> None:
        """Print what is trained."""
        net, folder = self._solver.net, self._recorder.folder
        n = sum(parameter.blob.count for parameter in net.parameters)
        computer = self._solver.backend.description.removeprefix("the ")
        _print(f"Training {net.name or 'a net'}: {n:,} parameters, {computer}.")
        if self._solver.iter:
            _print(f"Resumed at iteration {self._solver.iter}.")
        if folder is not None:
            _print(f"The run folder is {folder}; its log.txt is Caffe's log; --log shows it here.")

    def _add_display(self, report: DisplayReport) -> None:
        self._displays.append(report)
        if self._last_net < 0:
            self._add_row(report.iteration, {})

    def _add_scores(self, report: ScoreReport) -> None:
        suffix = f"#{report.net}" if report.net else ""
        self._scores.update({f"{name}{suffix}": v for name, v in report.outputs.items()})
        if report.net == self._last_net:
            self._add_row(report.iteration, self._scores)
            self._scores = {}

    def _add_row(self, iteration: int, scores: dict[str, float]) -> None:
        """Print a line, before the first one the names of the columns."""
        losses = [report.loss for report in self._displays]
        speeds = [r.iterations_per_s for r in self._displays if r.iterations_per_s]
        images = self._recorder.record.images_per_iteration or 0
        epoch = self._recorder.epoch_at(iteration)
        names = list(scores)[:_MOST_OUTPUTS]
        row = {
            "iteration": f"{iteration}",
            "epoch": "" if epoch is None else f"{epoch:.2f}",
            "train loss": f"{sum(losses) / len(losses):.4g}" if losses else "",
            **{f"test {name}": self._score_text(iteration, name, scores[name]) for name in names},
            "lr": f"{self._solver.rate:.4g}",
            "images/s": f"{sum(speeds) / len(speeds) * images:.0f}" if speeds and images else "",
        }
        self._displays = []
        if not self._widths:
            widths = {
                name: max(display_width(name) + 1, _SMALL_WIDTHS.get(name, _WIDTH)) for name in row
            }
            self._widths = _fitting(widths, terminal_width(sys.stderr.fileno()))
            self._print_cells({name: name for name in row})
        self._print_cells(row)

    def _print_cells(self, row: dict[str, str]) -> None:
        # The mark of the best value stands behind the column.
        padded_cells = (
            padded(cell if cell.endswith("*") else f"{cell} ", width, on_the_left=True)
            for cell, width in ((row[name], width) for name, width in self._widths.items())
        )
        marks = has_colours(sys.stderr)
        _print(
            " ".join(
                coloured(cell, "green") if marks and cell.endswith("*") else cell
                for cell in padded_cells
            ).rstrip()
        )

    def _score_text(self, iteration: int, name: str, value: float) -> str:
        """Return a value, with an asterisk if it is the best score so far."""
        selection = self._solver.selection
        output, best = selection.output, selection.best
        if output is None or best is None or best.iteration != iteration:
            return f"{value:.4g}"
        is_score = name == output.name + (f"#{output.net}" if output.net else "")
        return f"{value:.4g}*" if is_score else f"{value:.4g}"


def _fitting(widths: dict[str, int], columns: int) -> dict[str, int]:
    """Return the columns of a table that fit into a terminal, and their widths."""
    found = dict(widths)
    by_importance = [name for name in widths if name not in _SPARE] + list(_SPARE)
    for name in reversed(by_importance[_LEAST_COLUMNS:]):
        if sum(found.values()) + len(found) - 1 > columns:
            found.pop(name, None)
    return found


def _print(line: str) -> None:
    with suppress(OSError):  # the terminal was closed; the training goes on
        print(line, file=sys.stderr)
