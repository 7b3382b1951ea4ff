"""Taking turns, for programs that run nets in several threads."""

from __future__ import annotations

import os
import threading

from minicaffe.backends.onednn._lib import Library
from minicaffe.errors import BackendUnavailable


class Turn:
    """A lock that also says on how many threads the one that holds it computes.

    All primitives compute in one scratchpad, and lanes belong to one kernel. OpenMP counts threads
    for each thread of the program by itself, from all cores on. The same thread may hold the lock
    more than once.

    Parameters
    ----------
    library : Library
    threads : int

    Raises
    ------
    BackendUnavailable
        When it is taken in a process that was forked since, unless there is one thread only.
    """

    def __init__(self, library: Library, threads: int) -> None:
        self._lock = threading.RLock()
        self._library, self._threads = library, threads
        self._process = os.getpid()

    def __enter__(self) -> None:
        # Threads are not forked, and whoever waits for them waits for ever.
        if self._threads > 1 and os.getpid() != self._process:
            raise BackendUnavailable(
                "this net was made before the process was forked, and the threads that it computes "
                "on have stayed behind. Make nets in the process that uses them."
            )
        self._lock.acquire()
        self._library.set_threads(self._threads)

    def __exit__(self, *_: object) -> None:
        self._lock.release()
