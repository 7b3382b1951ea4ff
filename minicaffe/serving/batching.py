"""Dynamic batching: requests that wait at the same time are computed at once.

The event loop of asyncio appends requests to a queue; one thread for each model takes as many as
make a batch, computes, and hands all their outputs back at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from minicaffe.errors import MinicaffeError
from minicaffe.log import logger
from minicaffe.ops.backend import HostArray
from minicaffe.serving.counters import ModelCounters
from minicaffe.serving.errors import ModelNotReady, QueueFull, RequestTimeout
from minicaffe.serving.servable import Arrays, Servable

Outputs = dict[str, HostArray]


@dataclass(frozen=True)
class BatchLimits:
    """Limits of batches, of the queue, and of time.

    Parameters
    ----------
    max_batch : int
        Most samples that are computed at once.
    wait_s : float
        How long the first request of a batch waits for others, seconds.
    queue : int
        Most requests that wait.
    timeout_s : float
        Seconds from a request to its answer.
    """

    max_batch: int = 16
    wait_s: float = 0.0
    queue: int = 4096
    timeout_s: float = 30.0


@dataclass(eq=False)
class _Job:
    """A request.

    Parameters
    ----------
    inputs : mapping of str to ndarray
    wanted : sequence of str
    samples : int
    began : float
        Time of the request, seconds.
    future : Future
        Gets the outputs; is done early if nobody waits for them any more.
    """

    inputs: Arrays
    wanted: Sequence[str]
    samples: int
    began: float
    future: asyncio.Future[Outputs] = field(repr=False)


class BatchQueue:
    """The queue of a model, and the thread that computes.

    Parameters
    ----------
    servable : Servable
        Is closed with the queue.
    limits : BatchLimits
    name : str
        Of the thread.

    Attributes
    ----------
    counters : ModelCounters

    Notes
    -----
    `submit` is called in the thread of one event loop.
    """

    def __init__(self, servable: Servable, limits: BatchLimits, name: str) -> None:
        self._servable, self._limits = servable, limits
        self.counters = ModelCounters()
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def queue_length(self) -> int:
        """Number of requests that wait for their computation."""
        return len(self._jobs)

    def submit(
        self, inputs: Arrays, wanted: Sequence[str], timeout_s: float | None = None
    ) -> asyncio.Future[Outputs]:
        """Append a request; return a future of its outputs.

        A future that is cancelled takes the request out of the queue.

        Parameters
        ----------
        inputs : mapping of str to ndarray of float32
        wanted : sequence of str
        timeout_s : float, optional
            A shorter time than that of the limits.

        Raises
        ------
        QueueFull
            If too many requests wait.
        ModelNotReady
            If the queue is closed.
        """
        if self._is_closed:
            raise ModelNotReady("the model has been unloaded")
        if len(self._jobs) >= self._limits.queue:
            self.counters.outcomes["refused"] += 1
            raise QueueFull(f"{len(self._jobs)} requests wait; try again later")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outputs] = loop.create_future()
        samples = len(next(iter(inputs.values()))) if self._servable.batches else 1
        job = _Job(inputs, wanted, samples, time.perf_counter(), future)
        seconds = min(self._limits.timeout_s, timeout_s or self._limits.timeout_s)
        timer = loop.call_later(seconds, self._expire, future, seconds)
        future.add_done_callback(lambda _: self._count(job, timer))
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        return future

    def close(self) -> None:
        """Compute what waits, then close the servable; blocks meanwhile."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _expire(self, future: asyncio.Future[Outputs], seconds: float) -> None:
        if not future.done():
            future.set_exception(RequestTimeout(f"no answer within {seconds:g} s"))

    def _count(self, job: _Job, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        future = job.future
        if future.cancelled():
            self.counters.outcomes["cancelled"] += 1
        elif (error := future.exception()) is not None:
            self.counters.outcomes[getattr(error, "outcome", "failed")] += 1
        else:
            self.counters.outcomes["ok"] += 1
            self.counters.request_seconds.add(time.perf_counter() - job.began)

    def _work(self) -> None:
        """Compute batches until the queue is closed and empty."""
        while jobs := self._next_batch():
            began = time.perf_counter()
            results: list[Outputs] = []
            error: Exception | None = None
            try:
                results = self._compute(jobs)
            except MinicaffeError as refused:
                error = refused
            except Exception as failed:
                logger.exception("a computation failed")
                error = failed
            seconds = time.perf_counter() - began
            loop = jobs[0].future.get_loop()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                times = began, seconds
                loop.call_soon_threadsafe(self._deliver, jobs, results, error, times)
        self._servable.close()

    def _next_batch(self) -> list[_Job]:
        """Wait for requests and take those of a batch; [] at the end."""
        with self._changed:
            while not self._jobs:
                if self._is_closed:
                    return []
                self._changed.wait()
            self._wait_for_more()
            jobs: list[_Job] = []
            samples = 0
            while self._jobs and (not jobs or self._fits(jobs[0], self._jobs[0], samples)):
                job = self._jobs.popleft()
                if not job.future.done():
                    jobs.append(job)
                    samples += job.samples
        return jobs or self._next_batch()

    def _wait_for_more(self) -> None:
        """Wait until there is a full batch, or the first request has waited long enough."""
        if not self._servable.batches or not self._limits.wait_s:
            return
        end = self._jobs[0].began + self._limits.wait_s
        while (left := end - time.perf_counter()) > 0 and not self._is_closed:
            if sum(job.samples for job in self._jobs) >= self._limits.max_batch:
                return
            self._changed.wait(left)

    def _fits(self, first: _Job, job: _Job, samples: int) -> bool:
        """Return whether a request can be computed with those that were taken."""
        if not self._servable.batches or samples + job.samples > self._limits.max_batch:
            return False
        return all(
            array.shape[1:] == first.inputs[name].shape[1:] for name, array in job.inputs.items()
        )

    def _compute(self, jobs: Sequence[_Job]) -> list[Outputs]:
        """Return the outputs of each request."""
        if len(jobs) == 1:
            return [self._servable.infer(jobs[0].inputs, jobs[0].wanted)]
        wanted = list(dict.fromkeys(name for job in jobs for name in job.wanted))
        inputs = {
            name: np.concatenate([job.inputs[name] for job in jobs]) for name in jobs[0].inputs
        }
        outputs = self._servable.infer(inputs, wanted)
        results, start = [], 0
        for job in jobs:
            end = start + job.samples
            results.append({name: outputs[name][start:end] for name in job.wanted})
            start = end
        return results

    def _deliver(
        self,
        jobs: Sequence[_Job],
        results: Sequence[Outputs],
        error: Exception | None,
        times: tuple[float, float],
    ) -> None:
        """Set the results of requests, in the thread of the event loop."""
        began, seconds = times
        counters = self.counters
        counters.compute_seconds.add(seconds)
        counters.batch_samples.add(sum(job.samples for job in jobs))
        for k, job in enumerate(jobs):
            counters.queue_seconds.add(began - job.began)
            if job.future.done():
                continue
            if error is not None:
                job.future.set_exception(error)
            else:
                job.future.set_result(results[k])
