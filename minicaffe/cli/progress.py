"""Progress line below the log during training, on terminals only."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minicaffe.cli.training_table import TrainingTable
    from minicaffe.solver.solver import Solver

REFRESH_S = 0.2


def shows_progress() -> bool:
    """Return whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()  # None if closed by 2>&-


class ProgressLine:
    """Line of iterations, speed, remaining time, loss and rate, which is not part of the log.

    A context manager; the line is erased at the end of the block.

    Parameters
    ----------
    solver : Solver
        The solver whose progress is shown.
    table : TrainingTable, optional
        Its lines are printed above the progress line.
    """

    def __init__(self, solver: Solver, table: TrainingTable | None = None) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self.solver, self._table = solver, table
        self._text = Text
        self._live = Live(
            console=Console(stderr=True, soft_wrap=True), auto_refresh=False, transient=True
        )
        self._began, self._first = 0.0, 0
        self._shown = 0.0

    @classmethod
    def of(cls, solver: Solver, table: TrainingTable | None) -> AbstractContextManager[object]:
        """Return a progress line if stderr is a terminal, otherwise a null context."""
        return cls(solver, table) if shows_progress() else nullcontext()

    def __enter__(self) -> ProgressLine:
        self._began, self._first = time.monotonic(), self.solver.iter
        self.solver.on_gradients_ready.append(self._show)
        self._live.start()
        if self._table is not None:
            self._table.print_head(lambda line: self._live.console.print(self._text(line)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.solver.on_gradients_ready.remove(self._show)
        self._live.stop()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._shown >= REFRESH_S:
            self._shown = now
            self._live.update(self._text(self.line(now)), refresh=True)

    def line(self, now: float) -> str:
        """Return the text of the line at a time of `time.monotonic`."""
        solver = self.solver
        last = solver.param.max_iter
        speed = (solver.iter - self._first) / max(now - self._began, 1e-9)
        left_s = (last - solver.iter) / speed if speed else 0.0
        share = solver.iter / last if last else 1.0
        bar = "█" * round(20 * share)
        return (
            f"{bar:░<20} {solver.iter}/{last}  {speed:.1f} it/s  ETA {_clock(left_s)}  "
            f"loss {solver.smoothed_loss:.4g}  lr {solver.rate:.4g}"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
