"""Thread pools that map a function over items and keep their order: of a batch, of a stream."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from minicaffe.cores import usable_cores

T = TypeVar("T")
R = TypeVar("R")


class OrderedPool:
    """Threads that start with the first call of `map`; after a fork the child starts its own.

    Parameters
    ----------
    threads : int
        With one, the caller's thread does the work: to hand it over would cost time.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._executor: ThreadPoolExecutor | None = None
        self._process = 0

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Return the results of `function` in the order of items; raise the error of the first."""
        if self._threads == 1:
            return [function(item) for item in items]
        if self._executor is None or self._process != os.getpid():
            self._executor = ThreadPoolExecutor(self._threads, "minicaffe-decode")
            self._process = os.getpid()
        return list(self._executor.map(function, items))

    def close(self) -> None:
        """End the threads; closing twice does nothing."""
        if self._executor is not None and self._process == os.getpid():
            self._executor.shutdown(cancel_futures=True)
        self._executor = None


def mapped_in_order(
    function: Callable[[T], R], items: Iterable[T]
) -> Iterator[tuple[T, Future[R]]]:
    """Yield items and the results of a function in order, while all cores compute further ones.

    At most four items for each core are in memory.
    """
    workers = usable_cores()
    pending: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append((item, pool.submit(function, item)))
                if len(pending) > 4 * workers:
                    yield pending.popleft()
            while pending:
                yield pending.popleft()
        finally:
            pool.shutdown(cancel_futures=True)
