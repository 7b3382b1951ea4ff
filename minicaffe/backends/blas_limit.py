"""Limit of the threads of NumPy's BLAS while a backend computes."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from minicaffe.log import logger


class BlasLimit:
    """Context manager that limits the threads of NumPy's BLAS; creating it changes nothing.

    Most BLAS libraries have one thread count for the process. While any thread is inside a limit,
    it is the smallest of the limits entered; when the last thread leaves, it is what it was before.
    A first entry with its exit takes some 10 microseconds, a nested entry less than one.

    Parameters
    ----------
    threads : int
        The number of threads, at least 1.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._entries = _Entries()

    def __enter__(self) -> None:
        entries = self._entries
        depth = entries.depth
        if not depth:
            entries.counts = _process_limits().enter(self._threads)
        entries.depth = depth + 1

    def __exit__(self, *_: object) -> None:
        entries = self._entries
        depth = entries.depth = entries.depth - 1
        if not depth:
            _process_limits().leave(self._threads, entries.counts)


class _Entries(threading.local):
    """The current thread's entries of a limit, and the counts before the first of them."""

    depth = 0
    counts: list[int] = []


class _Library:
    """A loaded BLAS library."""

    def __init__(self, controller: Any) -> None:  # Any: threadpoolctl has no types
        self.get: Callable[[], int] = controller.get_num_threads
        # From version 3.8 on, OpenBLAS's `set_num_threads` ignores all threads but the first that
        # has called it; then the thread that leaves last could not restore the count.
        set_count = getattr(controller, "_real_set_num_threads", controller.set_num_threads)
        self.set: Callable[[int], object] = set_count
        # OpenMP's counts belong to the thread that sets them.
        self.is_per_thread = getattr(controller, "threading_layer", "") == "openmp"


def _loaded_libraries() -> list[_Library]:
    """Return the loaded BLAS libraries: it takes a millisecond, setting a count a microsecond."""
    try:
        import threadpoolctl
    except ImportError:
        logger.warning(
            "The Python package threadpoolctl is not installed, so NumPy's BLAS uses all cores "
            "beside minicaffe's own threads, which may be slower: pip install threadpoolctl"
        )
        return []
    controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
    return [_Library(library) for library in controller.lib_controllers]


class _ProcessLimits:
    """The limits that threads of this process have entered, and the libraries they apply to."""

    def __init__(self) -> None:
        self._libraries = _loaded_libraries()
        self._mutex = threading.Lock()
        self._limits: list[int] = []
        self._before: list[int] = []

    def enter(self, threads: int) -> list[int]:
        """Apply a limit; return the libraries' counts before."""
        with self._mutex:
            counts = [library.get() for library in self._libraries]
            if not self._limits:
                self._before = counts
            self._limits.append(threads)
            smallest = min(self._limits)
            for library in self._libraries:
                library.set(smallest)
        return counts

    def leave(self, threads: int, counts: list[int]) -> None:
        """Restore the counts, or apply the limits of the other threads."""
        with self._mutex:
            self._limits.remove(threads)
            for library, own, before in zip(self._libraries, counts, self._before, strict=True):
                library.set(own if library.is_per_thread else min(self._limits, default=before))


_CREATION = threading.Lock()


def _process_limits() -> _ProcessLimits:
    # The cache alone would give two threads, each in its first call, objects of their own.
    with _CREATION:
        return _only_process_limits()


@functools.cache
def _only_process_limits() -> _ProcessLimits:
    return _ProcessLimits()
