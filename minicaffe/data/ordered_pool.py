"""Thread pool that maps a function over the items of a batch and keeps their order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class OrderedPool:
    """Threads that start with the first call of `map`; after a fork the child starts its own.

    Parameters
    ----------
    threads : int
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._executor: ThreadPoolExecutor | None = None
        self._process = 0

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Return the results of `function` in the order of items; raise the error of the first."""
        if self._executor is None or self._process != os.getpid():
            self._executor = ThreadPoolExecutor(self._threads, "minicaffe-decode")
            self._process = os.getpid()
        return list(self._executor.map(function, items))

    def close(self) -> None:
        """End the threads; closing twice does nothing."""
        if self._executor is not None and self._process == os.getpid():
            self._executor.shutdown(cancel_futures=True)
        self._executor = None
