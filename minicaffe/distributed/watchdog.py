"""A limit for waiting: a cut network sends nothing, so that MPI would wait for ever."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from minicaffe.distributed.communicator import Communicator
from minicaffe.ops.backend import HostArray

T = TypeVar("T")
# How long an abort may take that goes through the same network.
_ABORT_S = 5.0


class Watchdog:
    """Measures how long this process waits for the others, and ends it after a limit.

    Parameters
    ----------
    limit_s : float
        The longest wait.
    give_up : callable
        Called with the length of the limit in a thread of the watchdog; must end the process.
    """

    def __init__(self, limit_s: float, give_up: Callable[[float], object]) -> None:
        # The beginnings of the waits that are going on, one for each thread.
        self._began: dict[int, float] = {}
        self._is_over = threading.Event()
        self.waited_s = 0.0
        threading.Thread(
            target=_watch,
            args=(self._began, limit_s, give_up, self._is_over),
            name="minicaffe-watchdog",
            daemon=True,
        ).start()
        weakref.finalize(self, self._is_over.set)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of the block as waiting."""
        thread, began = threading.get_ident(), time.monotonic()
        self._began[thread] = began
        try:
            yield
        finally:
            self._began.pop(thread, None)
            self.waited_s += time.monotonic() - began


def _watch(
    began: dict[int, float],
    limit_s: float,
    give_up: Callable[[float], object],
    is_over: threading.Event,
) -> None:
    while not is_over.wait(min(1.0, limit_s / 4)):
        now = time.monotonic()
        if any(now - start > limit_s for start in list(began.values())):
            give_up(limit_s)
            return


class WatchedCommunicator(Communicator):
    """A communicator whose calls a watchdog watches.

    Parameters
    ----------
    communicator : Communicator
        Does the work.
    watchdog : Watchdog
    """

    def __init__(self, communicator: Communicator, watchdog: Watchdog) -> None:
        self._inner, self._watchdog = communicator, watchdog
        self.rank, self.size = communicator.rank, communicator.size
        self.local_rank, self.local_size = communicator.local_rank, communicator.local_size
        self.allows_threads = communicator.allows_threads

    @property
    def library(self) -> str:
        """Library and version, for the log."""
        return self._inner.library

    def allreduce(self, values: HostArray) -> None:
        """Overwrite values with their sum over all processes."""
        with self._watchdog.waiting():
            self._inner.allreduce(values)

    def broadcast(self, values: HostArray, root: int = 0) -> None:
        """Overwrite values with those of one process."""
        with self._watchdog.waiting():
            self._inner.broadcast(values, root)

    def exchange(self, values: HostArray, received: HostArray, partner: int) -> None:
        """Send values to another process, and overwrite `received`."""
        with self._watchdog.waiting():
            self._inner.exchange(values, received, partner)

    def allgather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
        with self._watchdog.waiting():
            return self._inner.allgather(value)

    def barrier(self) -> None:
        """Wait until every process has called this."""
        with self._watchdog.waiting():
            self._inner.barrier()

    def duplicate(self) -> Communicator:
        """Return a communicator for another thread, with the same watchdog."""
        return WatchedCommunicator(self._inner.duplicate(), self._watchdog)

    def abort(self, exit_code: int) -> None:
        """End all processes; this one in any case, also if the network is cut."""
        end_after(_ABORT_S, exit_code)
        self._inner.abort(exit_code)


def end_after(seconds: float, exit_code: int) -> None:
    """End the process after some time without any clean-up, whatever it waits for then."""
    timer = threading.Timer(seconds, os._exit, (exit_code,))
    timer.daemon = True
    timer.start()
