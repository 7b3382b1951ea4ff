"""Progress line of commands that go through many items, such as records; on terminals only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TypeVar

from minicaffe.cli.live_line import REFRESH_S, LiveLine
from minicaffe.solver.progress import bar_text
from minicaffe.text.durations import duration_text

T = TypeVar("T")


def with_progress(
    items: Iterable[T], what: str, total: int | None = None, n_before: int = 0
) -> Iterator[T]:
    """Yield items, and show their count, speed and remaining time if there is a terminal.

    The line is erased at the end, and it is not part of the log.

    Parameters
    ----------
    items : iterable
    what : str
        What the items are, in the plural.
    total : int, optional
        Their number, if it is known; with those before.
    n_before : int
        Number of items that an earlier process has done.
    """
    began = time.monotonic()
    with LiveLine.on_terminal() as line:
        for count, item in enumerate(items):
            elapsed_s = time.monotonic() - began
            if line is not None and elapsed_s >= REFRESH_S:
                line.redraw(partial(progress_text, count, what, total, elapsed_s, n_before))
            yield item


def progress_text(
    count: int,
    what: str,
    total: int | None,
    elapsed_s: float,
    n_before: int = 0,
    columns: int = 80,
) -> str:
    """Return the text of the line after `count` items in `elapsed_s` seconds, and others before."""
    speed = count / max(elapsed_s, 1e-9)
    speed_text = f"{speed:.{1 if speed < 10 else 0}f} {what}/s"
    if not total:
        return f"{count} {what}  {speed_text}"
    done = n_before + count
    left = f"  ETA {duration_text((total - done) / speed)}" if speed else ""
    return f"{bar_text(done, total, columns)}{done}/{total} {what}  {speed_text}{left}"
