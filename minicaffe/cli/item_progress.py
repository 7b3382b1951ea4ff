"""Progress line of commands that go through many items, such as records; on terminals only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from minicaffe.cli.progress import REFRESH_S, clock_text
from minicaffe.cli.streams import has_terminal

T = TypeVar("T")


def with_progress(
    items: Iterable[T], what: str, total: int | None = None, n_before: int = 0
) -> Iterator[T]:
    """Yield items, and show their count, speed and remaining time on stderr if it is a terminal.

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
    if not has_terminal():
        yield from items
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True)
    began = shown = time.monotonic()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for count, item in enumerate(items):
            now = time.monotonic()
            if now - shown >= REFRESH_S:
                shown = now
                text = progress_text(count, what, total, now - began, n_before)
                live.update(Text(text), refresh=True)
            yield item


def progress_text(
    count: int, what: str, total: int | None, elapsed_s: float, n_before: int = 0
) -> str:
    """Return the text of the line after `count` items in `elapsed_s` seconds, and others before."""
    speed = count / max(elapsed_s, 1e-9)
    if not total:
        return f"{count} {what}  {speed:.0f} {what}/s"
    done = n_before + count
    left_s = (total - done) / speed if speed else 0.0
    bar = "█" * round(20 * done / total)
    return f"{bar:░<20} {done}/{total} {what}  {speed:.0f} {what}/s  ETA {clock_text(left_s)}"
