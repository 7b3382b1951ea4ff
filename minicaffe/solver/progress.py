"""Progress of a training as a line of text, for terminals and notebooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minicaffe.text.durations import duration_text

if TYPE_CHECKING:
    from minicaffe.solver.solver import Solver

_BAR_COLUMNS = 20
_LEAST_COLUMNS = 60  # narrower lines have no bar

# Returns the text for a number of columns.
Text = Callable[[int], str]


class TrainingProgress:
    """Describes how far a training is: iterations, speed, remaining time, loss, rate, best score.

    Parameters
    ----------
    solver : Solver
    last : int
        The iteration at which the training ends.
    """

    def __init__(self, solver: Solver, last: int) -> None:
        self._solver, self._last = solver, last
        self._began = time.monotonic()
        self._first: int | None = None  # is known after `solve` has resumed from a snapshot

    @contextmanager
    def reported(self, show: Callable[[Text], object]) -> Iterator[None]:
        """Call `show` after each iteration and before each batch of a test, inside the block.

        Parameters
        ----------
        show : callable
            Called with a function that returns the text. Calling that takes time, because it waits
            for the loss of the last iteration.
        """

        def after_iteration() -> None:
            if self._first is None:
                self._first = self._solver.iter - 1
            show(lambda columns: self.line(time.monotonic(), columns))

        def before_test_batch(batch: int, n: int) -> None:
            show(lambda columns: self.test_line(batch, n, columns))

        observers = self._solver.observers
        observers.iterations.append(after_iteration)
        observers.test_batches.append(before_test_batch)
        try:
            yield
        finally:
            observers.iterations.remove(after_iteration)
            observers.test_batches.remove(before_test_batch)

    def line(self, now: float, columns: int) -> str:
        """Return the text at a time of `time.monotonic`."""
        solver, speed = self._solver, self._speed(now)
        left_s = (self._last - solver.iter) / speed if speed else 0.0
        return (
            f"{bar_text(solver.iter, self._last, columns)}{solver.iter}/{self._last}  "
            f"{_speed_text(speed)}  ETA {duration_text(left_s)}  "
            f"loss {solver.smoothed_loss:.4g}  lr {solver.rate:.4g}{self._best()}"
        )

    def test_line(self, batch: int, n: int, columns: int) -> str:
        """Return the text during a test."""
        iteration = f"iteration {self._solver.iter}/{self._last}{self._best()}"
        return f"{bar_text(batch, n, columns)}testing {batch}/{n}  {iteration}"

    def end_line(self, now: float) -> str:
        """Return the text after the training, at a time of `time.monotonic`."""
        solver = self._solver
        return (
            f"iteration {solver.iter}/{self._last}  {duration_text(now - self._began)}  "
            f"{_speed_text(self._speed(now))}  loss {solver.smoothed_loss:.4g}{self._best()}"
        )

    def _speed(self, now: float) -> float:
        done = self._solver.iter - (self._solver.iter if self._first is None else self._first)
        return done / max(now - self._began, 1e-9)

    def _best(self) -> str:
        selection = self._solver.selection
        if selection.output is None or selection.best is None:
            return ""
        return f"  best {selection.output.name} {selection.best.value:.4g}"


def _speed_text(speed: float) -> str:
    return f"{speed:.{1 if speed < 100 else 0}f} it/s"


def bar_text(done: int, total: int, columns: int) -> str:
    """Return a bar for the share that is done, with spaces behind it; "" in narrow lines."""
    if columns < _LEAST_COLUMNS:
        return ""
    share = done / total if total else 1.0
    return f"{'█' * round(_BAR_COLUMNS * share):░<{_BAR_COLUMNS}} "
