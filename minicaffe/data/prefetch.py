"""Prefetching: a thread makes the next batches while the net processes the current one."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque

from minicaffe.data.batches import Batch, BatchSource
from minicaffe.data.records.base import RecordPosition
from minicaffe.log import logger

# A read that hangs (a network disk gone) must not hang the program's end.
_CLOSE_TIMEOUT_S = 5.0


class _Worker:
    """The thread, and the queue of batches that it shares with its consumer.

    It does not know the consumer, so that the consumer's last reference is never the thread's.
    """

    def __init__(self, source: BatchSource, depth: int) -> None:
        self._process = os.getpid()
        self._source = source
        self._depth = depth
        self._ready: deque[Batch] = deque()
        self._error: BaseException | None = None
        self._is_ending = self._has_failed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="minicaffe-prefetch", daemon=True)
        self._thread.start()

    @property
    def is_usable(self) -> bool:
        """Whether there will be more batches: not after an error, nor in the child of a fork."""
        return not self._has_failed and self._process == os.getpid()

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(
                        lambda: self._is_ending or len(self._ready) < self._depth
                    )
                    if self._is_ending:
                        return
                batch = self._source.next()
                with self._changed:
                    self._ready.append(batch)
                    self._changed.notify_all()
                del batch
        except BaseException as error:  # the consumer handles it, whatever it is
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def take(self) -> Batch | BaseException:
        """Wait for a batch, or for the error that ended the thread after the batches before it."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._error)
            if self._ready:
                batch = self._ready.popleft()
                self._changed.notify_all()
                return batch
        # Its traceback will refer to the consumer, so that a reference to it would keep both alive.
        error, self._error, self._has_failed = self._error, None, True
        return error or RuntimeError("the prefetching thread ended without a batch or an error")

    def stop(self) -> bool:
        """Stop the thread; return whether it has ended."""
        if self._process != os.getpid():
            return True  # a fork leaves the thread in the parent
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_TIMEOUT_S)
        self._error = None
        return not self._thread.is_alive()


class Prefetcher(BatchSource):
    """Makes the batches of another source ahead, in a thread.

    The thread starts with the first call of `next`, and ends with the last reference to the
    prefetcher. After a fork the child starts a thread of its own; after an error the next call of
    `next` tries again.

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
        self._position = source.position()
        self._worker: _Worker | None = None
        self._finalizer: weakref.finalize[[], Prefetcher] | None = None
        self.data_wait_s = 0.0

    def next(self) -> Batch:
        """Return the next batch; raise errors of the source, with the thread's traceback."""
        batch = self._from_thread() if self.depth else self._source.next()
        self._position = batch.position
        return batch

    def count_samples(self, limit: int) -> int | None:
        """Return the number of samples, or `limit` if there are more; None if it is unknown.

        To be called before the first batch is taken, because the source is not locked.
        """
        return self._source.count_samples(limit)

    def position(self) -> RecordPosition:
        """Return the position after the last batch returned; those that wait do not count."""
        return self._position

    def restore(self, position: RecordPosition) -> None:
        """Drop the batches that wait and continue from `position`."""
        self._stop()
        self._source.restore(position)
        self._position = self._source.position()

    def close(self) -> None:
        """Stop the thread and close the source."""
        if self._stop():
            self._source.close()
        else:
            logger.warning(
                "prefetching still waits for a read after %g s; its database stays open",
                _CLOSE_TIMEOUT_S,
            )

    def _from_thread(self) -> Batch:
        if self._worker is not None and not self._worker.is_usable:
            self.restore(self._position)
        if self._worker is None:
            self._worker = _Worker(self._source, self.depth)
            # Called at exit, or with the last reference to the prefetcher.
            self._finalizer = weakref.finalize(self, self._worker.stop)
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
