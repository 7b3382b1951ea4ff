"""Prefetching: a thread makes the next batches while the net processes the current one."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from contextlib import suppress

from minicaffe.data.batch_source import Batch, BatchSource
from minicaffe.data.records.base import RecordPosition
from minicaffe.log import logger

# A read that hangs (a network disk gone) must not hang the program's end.
_CLOSE_TIMEOUT_S = 5.0


class _Bell:
    """Wakes a thread that waits; what is rung while nobody waits counts once.

    A signal handler that raises, as Ctrl-C in a notebook does, can leave a Condition or an Event
    locked for good, because they consist of Python code. This is a single lock, and whoever waits
    looks at the shared state before and after.
    """

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """Wake the thread that waits, or the next one to do so."""
        with suppress(RuntimeError):  # it has been rung already
            self._silence.release()

    def wait(self) -> None:
        """Wait until it is rung."""
        self._silence.acquire()


class _Worker:
    """The thread, and the queue of batches that it shares with its consumer.

    After each batch it skips `n_skipped` batches.

    It does not know the consumer, so that the consumer's last reference is never the thread's.
    The consumer may be interrupted by an exception anywhere, and go on.
    """

    def __init__(self, source: BatchSource, depth: int, n_skipped: int) -> None:
        self._process = os.getpid()
        self._source, self.n_skipped = source, n_skipped
        self._depth = depth
        # Batches, and at last the error that has ended the thread.
        self._ready: deque[Batch | BaseException] = deque()
        self._is_started = self._is_ending = self._has_failed = False
        self._added, self._taken = _Bell(), _Bell()
        self._thread = threading.Thread(target=self._run, name="minicaffe-prefetch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        self._is_started = True

    @property
    def is_usable(self) -> bool:
        """Whether there will be more batches: not after an error, nor in the child of a fork."""
        return self._is_started and not self._has_failed and self._process == os.getpid()

    def _run(self) -> None:
        try:
            while True:
                while len(self._ready) >= self._depth and not self._is_ending:
                    self._taken.wait()
                if self._is_ending:
                    return
                self._ready.append(self._source.next())
                self._added.ring()
                if self.n_skipped:
                    self._source.skip_batches(self.n_skipped)
        except BaseException as error:  # the consumer handles it, whatever it is
            self._ready.append(error)
            self._added.ring()

    def take(self) -> Batch | BaseException:
        """Wait for a batch, or for the error that ended the thread after the batches before it."""
        while not self._ready:
            self._taken.ring()  # an interrupt may have come between the last batch and its ring
            self._added.wait()
        self._has_failed = isinstance(self._ready[0], BaseException)
        # Not kept: an error's traceback will refer to the consumer, and would keep it alive.
        found = self._ready.popleft()
        self._taken.ring()
        return found

    def stop(self) -> bool:
        """Stop the thread; return whether it has ended."""
        if self._process != os.getpid():
            return True  # a fork leaves the thread in the parent
        self._is_ending = True
        self._taken.ring()
        # The consumer may be garbage that is collected in the thread.
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_TIMEOUT_S)
        self._ready.clear()
        return not self._thread.is_alive()


class Prefetcher(BatchSource):
    """Makes the batches of another source ahead, in a thread.

    The thread starts with the first call of `next`, and ends with the last reference to the
    prefetcher. After a fork the child starts a thread of its own; after an error the next call of
    `next` tries again.

    The thread expects that as many batches are skipped after each one as after the last one. If
    another number is, the batches that wait are dropped.

    Parameters
    ----------
    source : BatchSource
        Used by the thread from the first `next` on; leave it alone.
    depth : int
        How many batches may wait (``prefetch`` of data_param); 0 for no thread, if batches must not
        be made before they are asked for.

    Attributes
    ----------
    depth : int
    data_wait_s : float
        How long `next` has waited for batches so far, seconds: near 0 if the data keep up.
    """

    def __init__(self, source: BatchSource, depth: int) -> None:
        self._source = source
        self.depth = depth
        self.shapes, self.assembler = source.shapes, source.assembler
        # The position after the last batch, and how many are to be skipped then: one object,
        # because an interrupt may come at any time.
        self._at = source.position(), 0
        self._worker: _Worker | None = None
        self._finalizer: weakref.finalize[[], Prefetcher] | None = None
        self.data_wait_s = 0.0

    def next(self) -> Batch:
        """Return the next batch; raise errors of the source, with the thread's traceback."""
        _, n_skipped = self._at
        worker = self._worker
        expected = 0 if worker is None else worker.n_skipped
        if n_skipped != expected or (worker is not None and not worker.is_usable):
            self._catch_up()
        batch = self._from_thread(n_skipped) if self.depth else self._source.next()
        self._at = batch.position, 0
        return batch

    def skip_batches(self, n: int) -> None:
        """Advance as n calls of `next` do, without making batches."""
        position, n_skipped = self._at
        self._at = position, n_skipped + n

    def count_samples(self, limit: int) -> int | None:
        """Return the number of samples, or `limit` if there are more; None if it is unknown.

        To be called before the first batch is taken, because the source is not locked.
        """
        return self._source.count_samples(limit)

    def position(self) -> RecordPosition:
        """Return the position after the last batch returned; those that wait do not count."""
        if self._at[1]:
            self._catch_up()
        return self._at[0]

    def restore(self, position: RecordPosition) -> None:
        """Drop the batches that wait and continue from `position`."""
        self._stop()
        self._source.restore(position)
        self._at = self._source.position(), 0

    def close(self) -> None:
        """Stop the thread and close the source."""
        if self._stop():
            self._source.close()
        else:
            logger.warning(
                "prefetching still waits for a read after %g s; its database stays open",
                _CLOSE_TIMEOUT_S,
            )

    def _catch_up(self) -> None:
        """Drop the batches that wait, and skip those that are to be skipped."""
        position, n_skipped = self._at
        self._stop()
        self._source.restore(position)
        if n_skipped:
            self._source.skip_batches(n_skipped)
        self._at = self._source.position(), 0

    def _from_thread(self, n_skipped: int) -> Batch:
        if self._worker is None:
            self._worker = _Worker(self._source, self.depth, n_skipped)
            # Called at exit, or with the last reference to the prefetcher.
            self._finalizer = weakref.finalize(self, self._worker.stop)
            self._worker.start()
        began = time.perf_counter()
        try:
            found = self._worker.take()
        finally:
            self.data_wait_s += time.perf_counter() - began
        if isinstance(found, Batch):
            return found
        try:
            raise found
        finally:
            del found  # this frame is part of the error's traceback

    def _stop(self) -> bool:
        worker, self._worker = self._worker, None
        if self._finalizer is not None:
            self._finalizer.detach()
            self._finalizer = None
        return worker is None or worker.stop()
