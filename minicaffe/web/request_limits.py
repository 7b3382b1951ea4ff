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
    total_bytes : int
        Bodies of all requests in progress together.
    """

    body_bytes: int = 64 << 20
    body_s: float = 60.0
    total_bytes: int = 1 << 30


class RequestTooLarge(Exception):
    """The body exceeds the limit."""


class RequestTooSlow(Exception):
    """The body has not arrived in time."""


class TooMuchAtOnce(Exception):
    """The bodies of all requests together exceed the limit."""


class BodyLimit:
    """ASGI middleware that ends requests whose body is too large or too slow.

    Parameters
    ----------
    app : ASGI application
    limits : RequestLimits
    """

    def __init__(self, app: ASGIApp, limits: RequestLimits) -> None:
        self._app, self._limits = app, limits
        self._n_held = 0  # bytes of the bodies of requests in progress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application; answer 413, 408 or 503 if its body breaks a limit."""
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
        limited = _LimitedReceive(receive, self._limits)

        n_counted = 0

        async def counted() -> Message:
            nonlocal n_counted
            message = await limited()
            n_bytes = len(message.get("body", b""))
            n_counted += n_bytes
            self._n_held += n_bytes
            if self._n_held > self._limits.total_bytes:
                raise TooMuchAtOnce
            return message

        try:
            if length > self._limits.body_bytes:
                raise RequestTooLarge
            await self._app(scope, counted, note_begin)
        except (RequestTooLarge, RequestTooSlow, TooMuchAtOnce) as error:
            if has_begun:
                raise
            is_sending = not limited.is_complete and "expect" not in headers
            is_slow = isinstance(error, RequestTooSlow)
            if is_sending and not is_slow and length <= 2 * self._limits.body_bytes:
                await self._discard(receive)
            await self._refusal(error)(scope, receive, send)
        finally:
            self._n_held -= n_counted

    async def _discard(self, receive: Receive) -> None:
        """Read on up to the limit: a client that is still sending would not see the answer."""
        left = self._limits.body_bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.body_s):
                while left > 0:
                    message = await asyncio.wait_for(receive(), _PAUSE_S)
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

    def _refusal(self, error: Exception) -> JSONResponse:
        close = {"connection": "close"}  # the rest of the body is not read
        if isinstance(error, TooMuchAtOnce):
            later = {**close, "retry-after": "1"}
            return JSONResponse({"error": "Too many large requests at once."}, 503, later)
        if isinstance(error, RequestTooSlow):
            return JSONResponse(
                {"error": f"The body has not arrived in {self._limits.body_s:g} s."}, 408, close
            )
        return JSONResponse(
            {"error": f"The body is larger than {self._limits.body_bytes} bytes."}, 413, close
        )


class _LimitedReceive:
    """Receives the body of a request, up to the limits.

    Attributes
    ----------
    is_complete : bool
        Whether the whole body has come.
    """

    def __init__(self, receive: Receive, limits: RequestLimits) -> None:
        self._receive, self._limits = receive, limits
        self._end: float | None = asyncio.get_running_loop().time() + limits.body_s
        self._n_bytes, self.is_complete = 0, False

    async def __call__(self) -> Message:
        """Return the next message."""
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            raise RequestTooSlow from None
        self._n_bytes += len(message.get("body", b""))
        if not message.get("more_body", False):
            # Afterwards the only message is that the client has gone.
            self._end, self.is_complete = None, True
        if self._n_bytes > self._limits.body_bytes:
            raise RequestTooLarge
        return message


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
