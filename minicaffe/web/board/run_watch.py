"""Looks for changes of runs while somebody listens: one look a second for all listeners."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.concurrency import run_in_threadpool

from minicaffe.web.board.run_index import RunIndex

_PERIOD_S = 1.0


class RunWatch:
    """Wakes listeners when runs have changed.

    A look asks for sizes and times of files; a training does not notice it. Without listeners
    there are no looks.

    Parameters
    ----------
    index : RunIndex
        What is looked at.
    """

    def __init__(self, index: RunIndex) -> None:
        self.index = index
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Yield a listener; inside the block there are looks."""
        listener = Listener()
        self._listeners.add(listener)
        if self._is_stopped:
            listener.wake(is_end=True)
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._task is not None:
                self._task.cancel()
                self._task = None

    def stop(self) -> None:
        """End all streams, so that the server can end; for handlers of signals."""
        self._is_stopped = True
        for listener in list(self._listeners):
            listener.wake(is_end=True)

    async def _look(self) -> None:
        while True:
            await run_in_threadpool(self.index.look, at_all=False)
            for listener in self._listeners:
                listener.wake()
            await asyncio.sleep(_PERIOD_S)


class Listener:
    """Waits for looks."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._is_end = False

    def wake(self, *, is_end: bool = False) -> None:
        """End the wait of `next_look`, in whatever thread."""
        self._is_end |= is_end
        self._loop.call_soon_threadsafe(self._event.set)

    async def next_look(self) -> bool:
        """Wait for the next look; return whether there will be more."""
        await self._event.wait()
        self._event.clear()
        return not self._is_end
