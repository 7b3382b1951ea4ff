"""Routes of runs: the list, and one run."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from minicaffe.runs.record import RunRecord, read_record
from minicaffe.web.application import json_response
from minicaffe.web.board.folder import BoardFolder


def run_routes(folder: BoardFolder) -> list[BaseRoute]:
    """Return the routes of runs."""
    routes = _RunRoutes(folder)
    return [Route("/runs", routes.runs), Route("/run", routes.run)]


class _RunRoutes:
    """Answers with what run folders contain. Sync methods run in threads."""

    def __init__(self, folder: BoardFolder) -> None:
        self._folder = folder

    def runs(self, request: Request) -> Response:
        """Return all runs."""
        found = [self._summary(name) for name in self._folder.run_names()]
        return json_response({"folder": str(self._folder.root), "runs": found})

    def run(self, request: Request) -> Response:
        """Return one run."""
        return json_response(self._summary(request.query_params.get("run", "")))

    def _summary(self, name: str) -> dict[str, object]:
        return _summary(name, self._folder.run(name))


def _summary(name: str, folder: Path) -> dict[str, object]:
    record: RunRecord = read_record(folder)
    return {
        "name": name,
        "state": record.state,
        "iteration": record.iteration,
        "max_iter": record.max_iter,
        "seconds": record.seconds,
        "started": record.started,
    }
