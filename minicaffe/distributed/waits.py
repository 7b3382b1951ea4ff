"""Calls of this process that wait for other processes, and for how long."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Waits:
    """The calls of a process that wait in all its threads.

    Attributes
    ----------
    total_s : float
        Time of all calls that have ended.
    """

    def __init__(self) -> None:
        self.total_s, self._lock = 0.0, threading.Lock()
        self._calls: dict[int, int] = {}  # number of the call, by thread
        self._numbers = itertools.count()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block as a call that waits."""
        thread = threading.get_ident()
        self._calls[thread] = next(self._numbers)
        began = time.monotonic()
        try:
            yield
        finally:
            del self._calls[thread]
            with self._lock:
                self.total_s += time.monotonic() - began

    def watch(self, limit_s: float, act: Callable[[], object], period_s: float = 0.25) -> None:
        """Call `act` in a thread, once, when a call has been waiting for longer than a limit.

        Time in which the process is stopped (SIGSTOP) does not count.

        Parameters
        ----------
        limit_s : float
        act : callable
        period_s : float
            How often the calls are looked at.
        """

        def run() -> None:
            waited: dict[int, float] = {}
            while max(waited.values(), default=0.0) < limit_s:
                time.sleep(period_s)
                calls = list(self._calls.values())
                waited = {call: waited.get(call, 0.0) + period_s for call in calls}
            act()

        threading.Thread(target=run, name="waits", daemon=True).start()
