"""A thread that sums gradients while the backward pass goes on.

Python's locks and SimpleQueue are single C objects, which an exception of a signal handler, such as
KeyboardInterrupt, cannot leave half changed; a Condition or an Event can be.
"""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeAlias

Job: TypeAlias = Callable[[], None]


class _Fence:
    """Marks the end of the jobs that are waited for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def open(self) -> None:
        self._lock.release()

    def wait(self) -> None:
        self._lock.acquire()


class _State:
    """What the thread and its owner tell each other.

    Attributes
    ----------
    error : BaseException or None
        Of the job that failed, until it is raised.
    runs_jobs : bool
        Whether jobs are still wanted: not after one that failed, nor if the owner is gone.
    """

    error: BaseException | None = None
    runs_jobs = True

    def take_error(self) -> BaseException | None:
        error, self.error = self.error, None
        return error


class Reductions(ABC):
    """Jobs that sum gradients, run in the order in which they are appended."""

    @abstractmethod
    def append_job(self, job: Job) -> None:
        """Run a job now or later."""

    @abstractmethod
    def wait_for_jobs(self) -> None:
        """Return when all jobs are done; raise the error of one that failed."""


class DeferredReductions(Reductions):
    """Runs the jobs in `wait_for_jobs`, if a thread is of no use or not allowed."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def append_job(self, job: Job) -> None:
        """Append a job."""
        self._jobs.append(job)

    def wait_for_jobs(self) -> None:
        """Run the jobs, in order."""
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job()


class ReductionThread(Reductions):
    """Runs the jobs in a thread, while the caller goes on.

    The thread starts with the first job. It ends with the last reference to this object, which it
    does not know, after the job that it runs.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Job | _Fence | None] = SimpleQueue()
        self._state = _State()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, _end, self._queue, self._state)

    def append_job(self, job: Job) -> None:
        """Run a job after those before it; not after a job that failed."""
        if self._thread is None:
            # A daemon, because a job waits for ever if another process is gone.
            self._thread = threading.Thread(
                target=_work,
                args=(self._queue, self._state),
                name="minicaffe-reduction",
                daemon=True,
            )
            self._thread.start()
        self._queue.put(job)

    def wait_for_jobs(self) -> None:
        """Wait for the jobs; raise the error of the one that failed, after which none runs.

        If an exception interrupts the wait, the next call waits for the same jobs.
        """
        if self._thread is not None:
            fence = _Fence()
            self._queue.put(fence)
            fence.wait()
        error = self._state.take_error()
        if error is not None:
            try:
                raise error
            finally:
                del error  # this frame is part of its traceback
        if not self._state.runs_jobs:
            raise RuntimeError("gradients are no longer summed, because an earlier sum failed")


def _end(queue: SimpleQueue[Job | _Fence | None], state: _State) -> None:
    state.runs_jobs = False
    queue.put(None)


def _work(queue: SimpleQueue[Job | _Fence | None], state: _State) -> None:
    while (item := queue.get()) is not None:
        if isinstance(item, _Fence):
            item.open()
        elif state.runs_jobs:
            try:
                item()
            except BaseException as error:  # the main thread raises it, whatever it is
                state.error, state.runs_jobs = error, False
        # A job's arrays belong to the net, which may be freed while the thread waits.
        del item
