"""A few threads that work on the items of a batch and keep their order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Decoding pictures runs outside the interpreter's lock, but the disk and the net want cores too.
_MOST_THREADS = 4


class OrderedPool:
    """Threads that start with the first call of `map`; after a fork the child starts its own."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._process = 0

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Return what `function` makes of each item; the first item's error is raised."""
        if self._executor is None or self._process != os.getpid():
            threads = min(_MOST_THREADS, os.cpu_count() or 1)
            self._executor = ThreadPoolExecutor(threads, "minicaffe-decode")
            self._process = os.getpid()
        return list(self._executor.map(function, items))

    def close(self) -> None:
        """End the threads; closing twice does nothing."""
        if self._executor is not None and self._process == os.getpid():
            self._executor.shutdown(cancel_futures=True)
        self._executor = None
