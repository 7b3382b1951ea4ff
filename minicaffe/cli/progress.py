"""Progress line of a training, on terminals only; it is not part of the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minicaffe.cli.live_line import LiveLine
from minicaffe.solver.progress import TrainingProgress

if TYPE_CHECKING:
    from minicaffe.solver.solver import Solver


@contextmanager
def training_progress(solver: Solver) -> Iterator[LiveLine | None]:
    """Show a line of iterations, speed, remaining time, loss and rate during the block.

    Yields
    ------
    LiveLine or None
        The line, if there is a terminal to draw it on.
    """
    with LiveLine.on_terminal() as line:
        if line is None:
            yield None
            return
        progress = TrainingProgress(solver, solver.param.max_iter)
        with progress.reported(line.redraw):
            yield line
