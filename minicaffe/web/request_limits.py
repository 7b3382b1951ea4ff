"""Limits of what a client may send and how long it may take."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from dataclasses import dataclass
from typing import Protocol

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# From the connection, or the answer before, to the end of the headers.
_HEADERS_S = 20.0
# Pause after which a client that sends too much is taken to wait for the answer.
_PAUSE_S = 1.0


@dataclass(frozen=True)
class RequestLimits:
    """Limits of the body of a request.

    Parameters
    ----------
    body_bytes : int
        Largest body.
    body_s : float
        Seconds in which it has to arrive.
    """

    body_bytes: int = 64 << 20
    body_s: float = 60.0


class RequestTooLarge(Exception):
    """The body exceeds the limit."""


class RequestTooSlow(Exception):
    """The body has not arrived in time."""


class BodyLimit:
    """ASGI middleware that ends requests whose body is too large or too slow.

    Parameters
    ----------
    app : ASGI application
    limits : RequestLimits
    """

    def __init__(self, app: ASGIApp, limits: RequestLimits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application; answer 413 or 408 if its body breaks a limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def note_begin(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == "http.response.start"
            await send(message)

        headers = Headers(scope=scope)
        length = int(headers.get("content-length", "0"))
        try:
            if length > self._limits.body_bytes:
                raise RequestTooLarge
            await self._app(scope, self._limited(receive), note_begin)
        except (RequestTooLarge, RequestTooSlow) as error:
            if has_begun:
                raise
            is_near = length <= 2 * self._limits.body_bytes and "expect" not in headers
            if isinstance(error, RequestTooLarge) and is_near:
                await self._discard(receive)
            await self._refusal(error)(scope, receive, send)

    async def _discard(self, receive: Receive) -> None:
        """Read on up to the limit: a client that is still sending would not see the answer."""
        left = self._limits.body_bytes
        with contextlib.suppress(TimeoutError):
            while left > 0:
                message = await asyncio.wait_for(receive(), _PAUSE_S)
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return

    def _limited(self, receive: Receive) -> Receive:
        n_bytes, is_complete = 0, False
        end = asyncio.get_running_loop().time() + self._limits.body_s

        async def limited() -> Message:
            nonlocal n_bytes, is_complete
            try:
                # After the body, the only message is that the client has gone.
                async with asyncio.timeout_at(None if is_complete else end):
                    message = await receive()
            except TimeoutError:
                raise RequestTooSlow from None
            n_bytes += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if n_bytes > self._limits.body_bytes:
                raise RequestTooLarge
            return message

        return limited

    def _refusal(self, error: RequestTooLarge | RequestTooSlow) -> JSONResponse:
        close = {"connection": "close"}  # the rest of the body is not read
        if isinstance(error, RequestTooSlow):
            return JSONResponse(
                {"error": f"The body has not arrived in {self._limits.body_s:g} s."}, 408, close
            )
        return JSONResponse(
            {"error": f"The body is larger than {self._limits.body_bytes} bytes."}, 413, close
        )


class _Cycle(Protocol):
    response_complete: bool


class _TimedHeaders(asyncio.Protocol):
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


def _http_protocol() -> type[asyncio.Protocol]:
    """Return uvicorn's protocol: by httptools, which is faster, or else by h11."""
    if importlib.util.find_spec("httptools") is None:
        from uvicorn.protocols.http.h11_impl import H11Protocol

        return H11Protocol
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    return HttpToolsProtocol


# The protocol of connections; its bases are known at run time only.
TimedProtocol: type[asyncio.Protocol] = type("TimedProtocol", (_TimedHeaders, _http_protocol()), {})
