"""A thread of the board that looks after the queue."""

from __future__ import annotations

import threading
from types import TracebackType

from minicaffe.errors import MinicaffeError
from minicaffe.log import logger
from minicaffe.web.jobs.queue import JobQueue

_PAUSE_S = 0.5


class JobRunner:
    """Starts the jobs of a queue during a ``with`` block; those that run outlive it.

    Parameters
    ----------
    queue : JobQueue
    limit : int
        The largest number of jobs that run at a time.
    """

    def __init__(self, queue: JobQueue, limit: int) -> None:
        self.limit = limit
        self._queue = queue
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="jobs", daemon=True)

    def __enter__(self) -> JobRunner:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._queue.close()

    def _look_after(self) -> None:
        while not self._ending.wait(_PAUSE_S):
            try:
                self._queue.look_after(self.limit)
            except (MinicaffeError, OSError) as error:
                # A full disk: the jobs run on, and what happens is read from their files later.
                if self._queue.problem != str(error):
                    logger.warning(f"the queue of jobs: {error}")
                self._queue.problem = str(error)
            except Exception:  # the thread lives as long as the board
                logger.exception("the queue of jobs")
                self._queue.problem = "internal error; the log of the board has the details"
