"""Taking turns, for programs that run nets in several threads."""

from __future__ import annotations

import threading

from minicaffe.backends.onednn._lib import Library


class Turn:
    """A lock that also says on how many threads the one that holds it computes.

    All primitives compute in one scratchpad, and lanes belong to one kernel. OpenMP counts threads
    for each thread of the program by itself, from all cores on. The same thread may hold the lock
    more than once.

    Parameters
    ----------
    library : Library
    threads : int
    """

    def __init__(self, library: Library, threads: int) -> None:
        self._lock = threading.RLock()
        self._library, self._threads = library, threads

    def __enter__(self) -> None:
        self._lock.acquire()
        self._library.set_threads(self._threads)

    def __exit__(self, *_: object) -> None:
        self._lock.release()
