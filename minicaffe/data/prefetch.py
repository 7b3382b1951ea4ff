"""Prefetching: a thread makes the next batches while the net works on this one."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque

from minicaffe.data.batch_assembler import BatchAssembler
from minicaffe.data.batches import Batch, BatchSource, Position
from minicaffe.log import logger

# A read that hangs (a network disk gone) must not hang the program's end.
_CLOSE_TIMEOUT_S = 5.0


class _Worker:
    """The thread and what it shares with its consumer."""

    def __init__(self, source: BatchSource, depth: int) -> None:
        self.process = os.getpid()
        self._source = source
        self._depth = depth
        self._ready: deque[Batch] = deque()
        self._error: BaseException | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="minicaffe-prefetch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping or len(self._ready) < self._depth)
                    if self._stopping:
                        return
                batch = self._source.next()
                with self._changed:
                    self._ready.append(batch)
                    self._changed.notify_all()
        except BaseException as error:  # it belongs to the consumer, whatever it is
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def take(self) -> Batch:
        """Wait for a batch; raise the thread's error once the batches before it are used up."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._error)
            if self._ready:
                batch = self._ready.popleft()
                self._changed.notify_all()
                return batch
        if self._error is None:
            raise RuntimeError("the prefetching thread ended without a batch or an error")
        raise self._error

    def stop(self) -> bool:
        """Stop the thread; return whether it has ended."""
        if self.process != os.getpid():
            return True  # a fork: the thread stayed in the parent
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_TIMEOUT_S)
        return not self._thread.is_alive()


class Prefetcher:
    """A source of batches that reads another one ahead.

    The thread starts with the first call of `next`. After a fork the child reads ahead for itself.

    Parameters
    ----------
    source : BatchSource
        Used by the thread from the first `next` on; leave it alone.
    depth : int
        How many batches may wait (``prefetch`` of data_param).

    Attributes
    ----------
    depth : int
        How many batches may wait, at least 1.
    data_wait_s : float
        How long `next` has waited for the thread so far, seconds: near 0 if the data keep up.
    """

    def __init__(self, source: BatchSource, depth: int) -> None:
        self._source = source
        self.depth = max(1, depth)
        self._position = source.position()
        self._worker: _Worker | None = None
        self._finalizer: weakref.finalize[[], Prefetcher] | None = None
        self.data_wait_s = 0.0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the first batch's data."""
        return self._source.shape

    @property
    def assembler(self) -> BatchAssembler | None:
        """What makes the batches; it is used by the thread, see `source`."""
        return self._source.assembler

    def next(self) -> Batch:
        """Return the next batch; errors of the source come out here, with their traceback."""
        if self._worker is not None and self._worker.process != os.getpid():
            self.restore(self._position)
        if self._worker is None:
            self._worker = _Worker(self._source, self.depth)
            # At exit, and when nobody holds the prefetcher any more.
            self._finalizer = weakref.finalize(self, self._worker.stop)
        began = time.perf_counter()
        try:
            batch = self._worker.take()
        finally:
            self.data_wait_s += time.perf_counter() - began
        self._position = batch.position
        return batch

    def position(self) -> Position:
        """Return the position after the last batch delivered; those that wait do not count."""
        return self._position

    def restore(self, position: Position) -> None:
        """Drop what waits and go on from `position`."""
        self._stop()
        self._source.restore(position)
        self._position = position

    def close(self) -> None:
        """Stop the thread and close the source."""
        if self._stop():
            self._source.close()
        else:
            logger.warning(
                "prefetching still waits for a read after %g s; its database stays open",
                _CLOSE_TIMEOUT_S,
            )

    def _stop(self) -> bool:
        worker, self._worker = self._worker, None
        if self._finalizer is not None:
            self._finalizer.detach()
            self._finalizer = None
        return worker is None or worker.stop()
