"""Waiting for computations whose client may be gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.types import Receive

T = TypeVar("T")

# A computation that takes no longer than this is not watched, because watching costs time.
_PATIENCE_S = 0.05
_CLIENT_GONE = 499  # nginx's code; nobody reads it


async def results_for(receive: Receive, futures: Sequence[asyncio.Future[T]]) -> list[T]:
    """Return the results of futures; cancel them if the client closes the connection.

    Parameters
    ----------
    receive : callable
        Of the request, whose body has been read.
    futures : sequence of Future

    Raises
    ------
    Exception
        The first that one of the futures has; the others are cancelled.
    HTTPException
        If the client is gone.
    """
    watch = _Watch(receive, futures)
    timer = asyncio.get_running_loop().call_later(_PATIENCE_S, watch.begin)
    try:
        return [await future for future in futures]
    except asyncio.CancelledError:
        if watch.is_gone:
            raise HTTPException(_CLIENT_GONE, "the client has closed the connection") from None
        raise
    finally:
        timer.cancel()
        watch.end()
        for future in futures:
            future.cancel()


class _Watch:
    """Cancels futures when the client closes the connection."""

    def __init__(self, receive: Receive, futures: Sequence[asyncio.Future[T]]) -> None:
        self._receive, self._futures = receive, futures
        self._task: asyncio.Task[None] | None = None
        self.is_gone = False

    def begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._wait())

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        for future in self._futures:
            future.cancel()
