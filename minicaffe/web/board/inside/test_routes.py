"""Routes of the tests of snapshots: confusion matrix, table of classes, most confident mistakes."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from minicaffe.analysis.confusion_tables import (
    CONFUSION,
    MISTAKES,
    PER_CLASS,
    confusion_folders,
    read_table,
)
from minicaffe.runs.record import RunRecord, read_record
from minicaffe.web.application import error_response, json_body, json_response
from minicaffe.web.board.inside.run_data import databases_of
from minicaffe.web.board.inside.run_parts import RunParts
from minicaffe.web.board.inside.snapshot_test import TestPlan, TestRefused, TestRoom
from minicaffe.web.board.run_index import RunIndex

_BATCHES = 50  # as of the command
_MOST_BATCHES = 1_000_000
_MOST_MISTAKES = 200
_LABELS = "labels.txt"
# Results of other names may be of other data, of which the net says nothing.
_MADE_HERE = re.compile(r"confusion-(\d+|best|last)")


def test_routes(index: RunIndex) -> list[BaseRoute]:
    """Return the routes."""
    routes = _TestRoutes(index)
    return [
        Route("/tests", routes.tests, methods=["GET"]),
        Route("/tests", routes.start_test, methods=["POST"]),
        Route("/tests", routes.cancel, methods=["DELETE"]),
        Route("/tests/result", routes.result),
    ]


class _TestRoutes:
    """Starts tests and shows their results, which are in the run folder."""

    def __init__(self, index: RunIndex) -> None:
        self._index, self._room = index, TestRoom()

    def tests(self, request: Request) -> Response:
        """Return the results of a run, the newest first, and the progress of a test."""
        parts = RunParts(self._index, request.query_params)
        paths = confusion_folders(parts.folder)
        ordered = sorted(((path / CONFUSION).stat().st_mtime, path) for path in paths)[::-1]
        return json_response(
            {
                "results": [
                    {"result": _name(parts.folder, path), "time": time} for time, path in ordered
                ],
                "progress": self._room.progress(parts.name),
                "batches": _batches(read_record(parts.folder)),
            }
        )

    def result(self, request: Request) -> Response:
        """Return a result: counts, table of the classes, mistakes."""
        parts = RunParts(self._index, request.query_params)
        wanted = request.query_params.get("result", "")
        paths = {_name(parts.folder, path): path for path in confusion_folders(parts.folder)}
        if wanted not in paths:
            raise HTTPException(404, f"{wanted}: no result of a test in this run")
        folder = paths[wanted]
        head, *rows = read_table(folder / CONFUSION) or [[]]
        try:
            counts = [[int(n) for n in row[1:]] for row in rows]
        except ValueError as error:
            raise HTTPException(400, f"{folder / CONFUSION}: damaged: {error}") from error
        mistakes = read_table(folder / MISTAKES)[1:]
        pictures = [name for name in ("confusion", "mistakes") if (folder / f"{name}.png").exists()]
        return json_response(
            {
                "classes": head[1:],
                "counts": counts,
                "table": read_table(folder / PER_CLASS)[1:],
                "mistakes": mistakes[:_MOST_MISTAKES],
                "n_mistakes": len(mistakes),
                "source": _database(parts) if _MADE_HERE.fullmatch(wanted) else None,
                "pictures": {
                    name: (folder / f"{name}.png").relative_to(parts.folder).as_posix()
                    for name in pictures
                },
            }
        )

    async def start_test(self, request: Request) -> Response:
        """Start the test of a snapshot; the body may have "batches"."""
        batches = (await json_body(request)).get("batches")
        if batches is not None and not (isinstance(batches, int) and 0 < batches <= _MOST_BATCHES):
            raise HTTPException(400, f"batches must be 1 to {_MOST_BATCHES}, not {batches!r}")
        return await run_in_threadpool(self._begin, request, batches)

    def _begin(self, request: Request, batches: int | None) -> Response:
        parts = RunParts(self._index, request.query_params)
        try:
            self._room.start_test(_plan(parts, batches))
        except TestRefused as error:
            return error_response(str(error), 409)
        return json_response(self._room.progress(parts.name), 202)

    def cancel(self, request: Request) -> Response:
        """End the test of a run."""
        parts = RunParts(self._index, request.query_params)
        self._room.cancel(parts.name)
        return json_response({})


def _name(run: Path, folder: Path) -> str:
    return folder.relative_to(run).as_posix()


def _database(parts: RunParts) -> str | None:
    """Return the database that the tested net reads, None if its records cannot be shown."""
    net = parts.tested_net().name
    found = [one.source for one in databases_of(parts, [net]) if one.path is not None]
    return next(iter(found), None)


def _batches(record: RunRecord) -> int:
    return record.test_iter[0] if record.test_iter else _BATCHES


def _plan(parts: RunParts, batches: int | None) -> TestPlan:
    snapshot, weights = parts.chosen_weights()
    record, net = read_record(parts.folder), parts.tested_net()
    number = snapshot["iteration"]
    result = parts.folder / f"confusion-{weights.stem if number is None else number}"
    labels = next(
        (path for folder in parts.file_folders(net) if (path := folder / _LABELS).is_file()), None
    )
    n = batches or _batches(record)
    words = [
        "test",
        f"--model={parts.folder / net.name}.prototxt",
        f"--weights={weights}",
        f"--iterations={n}",
        f"--confusion={result}",
        "--threads=1",
    ]
    if labels is not None:
        words.append(f"--labels={labels.absolute()}")
    # Where the training ran, or where that is now: paths in the net are relative to it.
    places = [path for path in (Path(record.folder), parts.folder.parent.parent) if path.is_dir()]
    return TestPlan(parts.name, str(snapshot["weights"]), tuple(words), places[0], result, n)
