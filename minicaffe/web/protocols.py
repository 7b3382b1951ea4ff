"""HTTP/1.1 by uvicorn, with a time in which headers have to arrive."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Protocol

# From the connection, or the answer before, to the end of the headers.
_HEADERS_S = 20.0


class _Cycle(Protocol):
    response_complete: bool


class TimedHeaders(asyncio.Protocol):
    """Mixin of a protocol of uvicorn that closes connections whose headers do not arrive in time.

    Attributes
    ----------
    cycle : object or None
        The request in progress; of the protocol.
    loop : AbstractEventLoop
        Of the protocol.
    """

    cycle: _Cycle | None
    loop: asyncio.AbstractEventLoop
    _closes: asyncio.BaseTransport
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the time."""
        super().connection_made(transport)
        self._closes = transport
        self._begin_time()

    def data_received(self, data: bytes) -> None:
        """End the time if the headers are complete."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._end_time()
        elif self._timer is None:
            self._begin_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the time."""
        self._end_time()
        super().connection_lost(exc)

    def _begin_time(self) -> None:
        self._timer = self.loop.call_later(_HEADERS_S, self._closes.close)

    def _end_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def http_protocol() -> type[asyncio.Protocol]:
    """Return the protocol for connections: httptools, which is faster, or else h11."""
    base: type[asyncio.Protocol]
    if importlib.util.find_spec("httptools") is not None:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        base = HttpToolsProtocol
    else:
        from uvicorn.protocols.http.h11_impl import H11Protocol

        base = H11Protocol
    return type("TimedProtocol", (TimedHeaders, base), {})
