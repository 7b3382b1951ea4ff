"""Server-sent events: a response that goes on until the client or the server ends it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from minicaffe.web.application import json_text


class EventStream(StreamingResponse):
    """A response of server-sent events.

    Parameters
    ----------
    events : async generator of str
        What `event` returns; it is closed with the response.
    """

    def __init__(self, events: AsyncGenerator[str]) -> None:
        super().__init__(
            events, media_type="text/event-stream", headers={"cache-control": "no-store"}
        )
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)


def event(name: str, value: object, number: str = "") -> str:
    """Return an event with JSON; a browser repeats its number when it connects again."""
    number_line = f"id: {number}\n" if number else ""
    return f"event: {name}\n{number_line}data: {json_text(value)}\n\n"


# A comment, by which a connection that is lost without notice is found.
KEEP_ALIVE = ":\n\n"
