"""Worker pool for kernels that run many small steps on each thread, with scratch memory for each.

oneDNN splits each primitive over all threads, which synchronise at its end. A kernel of many small
steps is faster if each thread takes one task through all steps, because the intermediate results
then stay in the cache of its core.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

from minicaffe.backends.onednn.runtime.memory import Buffer
from minicaffe.backends.onednn.runtime.primitive import Engine
from minicaffe.backends.onednn.runtime.reorder import Reorders
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES

# Values in each of a worker's two buffers; the system allocates only pages that are written.
BUFFER_VALUES = 1 << 22

Item = TypeVar("Item")
Created = TypeVar("Created")
# Calls ``run(thread)`` on as many threads as there are items, at most all; see `OneDnnBackend`.
Spread: TypeAlias = Callable[[Callable[[int], None], int], None]


class Worker:
    """The memory of one thread: an engine with a scratchpad of its own, and two buffers.

    Each step reads one of the buffers `ping` and `pong` and writes the other. Its primitives must
    be created and run within `WorkerPool.single_threaded`, to use the calling thread only.
    """

    def __init__(self) -> None:
        self.engine = Engine()
        self.reorders = Reorders(self.engine)
        self.ping, self.pong = (
            Buffer(BUFFER_VALUES * FLOAT_BYTES, self.engine.handle) for _ in range(2)
        )


class ScratchBuffer:
    """Memory for one step of one kernel at a time; it grows and never shrinks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.handle
        self._buffer = Buffer(FLOAT_BYTES, self._engine)

    def reserve(self, size: int) -> Buffer:
        """Return a buffer for at least `size` values; its contents are undefined."""
        if self._buffer.size_bytes < size * FLOAT_BYTES:
            self._buffer = Buffer(size * FLOAT_BYTES, self._engine)
        return self._buffer


class WorkerPool:
    """One worker for each thread of a backend, and scratch memory that its kernels share.

    Parameters
    ----------
    engine : Engine
        The backend's.
    threads : int
    spread : callable
        Runs a function on the backend's threads.

    Attributes
    ----------
    workers : list of Worker
    filters, taps : ScratchBuffer
    sums : list of ScratchBuffer
        One for each worker.
    """

    def __init__(self, engine: Engine, threads: int, spread: Spread) -> None:
        self._lib, self._spread = engine.lib, spread
        self.workers = [Worker() for _ in range(threads)]
        self.filters, self.taps = ScratchBuffer(engine), ScratchBuffer(engine)
        self.sums = [ScratchBuffer(engine) for _ in self.workers]

    def single_threaded(self, run: Callable[[], None]) -> None:
        """Call a function while oneDNN uses the calling thread only."""
        with self._lib.single_threaded():
            run()

    def create(self, make: Callable[[Worker], Created]) -> list[Created]:
        """Return what a function creates for each worker, with single-threaded primitives."""
        created: list[Created] = []
        self.single_threaded(lambda: created.extend(map(make, self.workers)))
        return created

    def map(self, run: Callable[[int, Item], None], items: Iterable[Item]) -> None:
        """Call ``run(worker, item)`` for every item, each on the next free worker."""
        queue = list(items)
        # Advancing one list iterator is atomic in Python, so threads may share it.
        remaining = iter(queue)

        def work(worker: int) -> None:
            self.single_threaded(lambda: _run_all(functools.partial(run, worker), remaining))

        self._spread(work, len(queue))


def _run_all(run: Callable[[Item], None], items: Iterable[Item]) -> None:
    for item in items:
        run(item)
