"""Routes of metrics, and the streams that tell what has changed."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from minicaffe.web.application import json_response
from minicaffe.web.board.event_stream import KEEP_ALIVE, EventStream, event
from minicaffe.web.board.run_summary import Summary
from minicaffe.web.board.run_watch import RunWatch

_QUIET_LOOKS = 15  # until something is sent again


def metric_routes(watch: RunWatch) -> list[BaseRoute]:
    """Return the routes of metrics and of streams."""
    routes = _MetricRoutes(watch)
    return [
        Route("/metrics", routes.metrics),
        Route("/metrics/events", routes.metric_events),
        Route("/runs/events", routes.run_events),
    ]


class _MetricRoutes:
    def __init__(self, watch: RunWatch) -> None:
        self._watch, self._index = watch, watch.index

    def metrics(self, request: Request) -> Response:
        """Return the metrics of a run after a place in its file."""
        query = request.query_params
        places = _places(query.get("after", "0"), 1)
        return json_response(self._index.metrics(query.get("run", ""), places[0]))

    async def metric_events(self, request: Request) -> Response:
        """Stream the new metrics of one or more runs, and their summaries."""
        query = request.query_params
        names = query.getlist("run")
        # A browser that connects again gives the number of the last event.
        given = request.headers.get("last-event-id") or ",".join(query.getlist("after"))
        places = _places(given, len(names)) if given else [0] * len(names)
        for name in names:
            await run_in_threadpool(self._index.folder.run, name)
        return EventStream(self._metric_events(dict(zip(names, places, strict=True))))

    async def run_events(self, request: Request) -> Response:
        """Stream the summaries of runs that change, all of them at first."""
        return EventStream(self._run_events())

    async def _metric_events(self, places: dict[str, int]) -> AsyncGenerator[str]:
        sent: dict[str, Summary | None] = dict.fromkeys(places)
        n_quiet = 0
        with self._watch.listening() as listener:
            yield KEEP_ALIVE
            while await listener.next_look():
                n_quiet += 1
                summaries = self._index.summaries()
                for name in places:
                    summary = summaries.get(name)
                    if summary is None or summary is sent[name]:
                        continue
                    new = await run_in_threadpool(self._index.metrics, name, places[name])
                    n_quiet, sent[name] = 0, summary
                    if new["next"] != places[name] or new["replaced"] is not None:
                        places[name] = int(str(new["next"]))
                        number = ",".join(map(str, places.values()))
                        yield event("rows", {"run": name, **new}, number)
                    yield event("summary", summary)
                if n_quiet >= _QUIET_LOOKS:
                    n_quiet = 0
                    yield KEEP_ALIVE

    async def _run_events(self) -> AsyncGenerator[str]:
        sent: dict[str, Summary] = {}
        n_quiet, is_first = 0, True
        with self._watch.listening() as listener:
            yield KEEP_ALIVE
            while await listener.next_look():
                n_quiet += 1
                found = self._index.summaries()
                changed = [one for name, one in found.items() if sent.get(name) is not one]
                removed = [name for name in sent if name not in found]
                sent = found
                if changed or removed or is_first:
                    news = {"runs": changed, "removed": removed, "is_all": is_first}
                    yield event("runs", news)
                elif n_quiet >= _QUIET_LOOKS:
                    yield KEEP_ALIVE
                else:
                    continue
                n_quiet, is_first = 0, False


def _places(text: str, n: int) -> list[int]:
    """Return places in files, from numbers with commas between them.

    Raises
    ------
    HTTPException
        With status 400, if they are no n numbers.
    """
    words = text.split(",")
    if len(words) != n or not all(word.isdecimal() and len(word) < 19 for word in words):
        raise HTTPException(400, f"after={text}: must be the value of next of an earlier answer")
    return [int(word) for word in words]
