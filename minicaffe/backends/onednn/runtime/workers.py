"""What kernels that compute on threads of their own share: memory and an engine for each thread.

oneDNN splits each primitive over all threads, and they wait for each other at its end. A kernel of
many small steps is faster where each thread takes a piece of the work through all steps, with what
it writes in the cache of its own core.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from minicaffe.backends.onednn.runtime.memory import Buffer
from minicaffe.backends.onednn.runtime.primitive import Engine
from minicaffe.backends.onednn.runtime.reorder import Reorders
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Values in each of a lane's two buffers; the system gives memory only to those ever written.
LANE_VALUES = 1 << 22

Piece = TypeVar("Piece")


class Lane:
    """What one thread computes with: an engine, hence a scratchpad, and two buffers of its own.

    Primitives must be made by `Workbench.alone`, so that they run on the thread that calls them.
    """

    def __init__(self) -> None:
        self.engine = Engine()
        self.reorders = Reorders(self.engine)
        self.near, self.far = (
            Buffer(LANE_VALUES * FLOAT_BYTES, self.engine.handle) for _ in range(2)
        )


class Spare:
    """Memory for one step of one kernel at a time; it grows and never shrinks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.handle
        self._buffer = Buffer(FLOAT_BYTES, self._engine)

    def holding(self, size: int) -> Buffer:
        """Return a buffer for so many values; what it holds is undefined."""
        if self._buffer.size_bytes < size * FLOAT_BYTES:
            self._buffer = Buffer(size * FLOAT_BYTES, self._engine)
        return self._buffer


class Workbench:
    """The lanes of a backend, one for each thread, and memory that all its kernels may use."""

    def __init__(self, backend: OneDnnBackend) -> None:
        self._backend = backend
        self.lanes = [Lane() for _ in range(backend.threads)]
        self.filters, self.taps = Spare(backend.engine), Spare(backend.engine)
        self.sums = [Spare(backend.engine) for _ in self.lanes]

    def alone(self, make: Callable[[], None]) -> None:
        """Call what makes primitives that are to run on one thread."""
        self._backend.engine.lib.set_threads(1)
        try:
            make()
        finally:
            self._backend.engine.lib.set_threads(self._backend.threads)

    def share(self, run: Callable[[int, Piece], None], pieces: Iterable[Piece]) -> None:
        """Call ``run(lane, piece)`` for every piece, on whichever lane is free."""
        given = list(pieces)
        # Taking the next from one iterator is a single step of Python, so threads may share it.
        left = iter(given)

        def work(lane: int) -> None:
            self.alone(lambda: _run_all(functools.partial(run, lane), left))

        self._backend.spread(work, len(given))


def _run_all(run: Callable[[Piece], None], pieces: Iterable[Piece]) -> None:
    for piece in pieces:
        run(piece)
