"""Progress of a training in the output of a notebook's cell."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from minicaffe.pycaffe.notebooks.shell import display_text, notebook_shell
from minicaffe.solver.progress import Text, TrainingProgress
from minicaffe.solver.solver import Solver

# Trainings that are shorter than the first show nothing.
_FIRST_S = 0.5
_REFRESH_S = 0.3
_COLUMNS = 100


class CellProgress:
    """Shows how far a training is, in one line a cell, which is replaced in place.

    Parameters
    ----------
    solver : Solver
    """

    def __init__(self, solver: Solver) -> None:
        self._solver = solver
        self._cell, self._display_id = -1, ""

    @contextmanager
    def shown(self, last: int) -> Iterator[None]:
        """Show the progress up to iteration `last` during the block, if a notebook runs it.

        A single iteration is not shown, because a loop of them prints what its author wants.
        """
        if last - self._solver.iter == 1 or notebook_shell() is None:
            yield
            return
        progress = TrainingProgress(self._solver, last)
        next_at = time.monotonic() + _FIRST_S
        is_shown = False

        def show(text: Text) -> None:
            nonlocal next_at, is_shown
            if time.monotonic() >= next_at:
                self._display(text(_COLUMNS))
                next_at, is_shown = time.monotonic() + _REFRESH_S, True

        with progress.reported(show):
            yield
        if is_shown:
            self._display(progress.end_line(time.monotonic()))

    def _display(self, text: str) -> None:
        shell = notebook_shell()
        if shell is None:
            return
        is_new = shell.execution_count != self._cell
        if is_new:
            self._cell, self._display_id = shell.execution_count, uuid.uuid4().hex
        display_text(text, self._display_id, is_new)
