"""Limits of what a client may send and how long it may take."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


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

        length = Headers(scope=scope).get("content-length", "0")
        try:
            if int(length) > self._limits.body_bytes:
                raise RequestTooLarge
            await self._app(scope, self._limited(receive), note_begin)
        except (RequestTooLarge, RequestTooSlow) as error:
            if has_begun:
                raise
            if isinstance(error, RequestTooLarge):
                await self._discard(receive)
            await self._refusal(error)(scope, receive, send)

    async def _discard(self, receive: Receive) -> None:
        """Read on up to the limit: a client that is still sending would not see the answer."""
        left = self._limits.body_bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.body_s):
                while left > 0:
                    message = await receive()
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
                {"error": f"the body has not arrived in {self._limits.body_s:g} s"}, 408, close
            )
        return JSONResponse(
            {"error": f"the body is larger than {self._limits.body_bytes} bytes"}, 413, close
        )
