"""Routes of runs: the list, one run with its files, the comparison of several."""

from __future__ import annotations

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from minicaffe.runs.appended_lines import text_after
from minicaffe.runs.comparison import comparison_rows
from minicaffe.runs.folder import LOG
from minicaffe.runs.record import read_record
from minicaffe.web.application import json_response
from minicaffe.web.board.run_archive import write_archive
from minicaffe.web.board.run_files import file_of, files_of, snapshots_of
from minicaffe.web.board.run_index import RunIndex

_MOST_COMPARED = 12
_MOST_LOG_BYTES = 1 << 18
# Files that the browser shows; others are saved, because they could contain scripts.
_SHOWN = {
    **dict.fromkeys((".txt", ".prototxt", ".json", ".jsonl", ".csv", ".log"), "text/plain"),
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}


def run_routes(index: RunIndex) -> list[BaseRoute]:
    """Return the routes of runs."""
    routes = _RunRoutes(index)
    return [
        Route("/runs", routes.runs),
        Route("/run", routes.run),
        Route("/compare", routes.compare),
        Route("/archive", routes.archive),
        Route("/log", routes.log),
        Route("/file", routes.file),
    ]


class _RunRoutes:
    """Answers with what run folders contain. Sync methods run in threads."""

    def __init__(self, index: RunIndex) -> None:
        self._index, self._folder = index, index.folder

    def runs(self, request: Request) -> Response:
        """Return all runs."""
        self._index.look(at_all=True)
        found = list(self._index.summaries().values())
        return json_response({"folder": str(self._folder.root), "runs": found})

    def run(self, request: Request) -> Response:
        """Return one run."""
        name = request.query_params.get("run", "")
        folder, summary = self._folder.run(name), self._index.summary(name)
        record = read_record(folder)
        scores = self._index.score_values(name, record.score)
        more = {
            "command": record.command,
            "overrides": record.overrides,
            "seed": record.seed,
            "versions": record.versions,
            "machine": record.machine,
            "folder": record.folder,
            "next": self._index.read_bytes(name),
            "images_per_iteration": record.images_per_iteration,
            "files": files_of(folder),
            "snapshots": snapshots_of(self._folder, folder, record, scores),
        }
        return json_response({**summary, **more})

    def compare(self, request: Request) -> Response:
        """Return a table of the settings that differ and of the scores."""
        names = list(dict.fromkeys(request.query_params.getlist("run")))
        if not 2 <= len(names) <= _MOST_COMPARED:
            raise HTTPException(400, f"choose 2 to {_MOST_COMPARED} runs, not {len(names)}")
        folders = [self._folder.run(name) for name in names]
        rows = comparison_rows([(folder, read_record(folder)) for folder in folders])
        return json_response({"rows": [["", *names], *rows[1:]]})

    def archive(self, request: Request) -> Response:
        """Return the archive of a run."""
        name = request.query_params.get("run", "")
        kind = request.query_params.get("weights", "")
        path = write_archive(self._folder, self._folder.run(name), kind)
        return FileResponse(
            path,
            filename=f"{name.rpartition('/')[2] or 'run'}.zip",
            background=BackgroundTask(path.unlink),
        )

    def log(self, request: Request) -> Response:
        """Return the log from a byte on, in whole lines."""
        query = request.query_params
        after = query.get("after", "")
        path = self._folder.run(query.get("run", "")) / LOG
        place = int(after) if after.isdecimal() and len(after) < 19 else -1
        try:
            text, begin, end = text_after(path, place, _MOST_LOG_BYTES)
        except OSError as error:
            raise HTTPException(404, f"{LOG}: {error.strerror}") from error
        return json_response({"text": text, "begin": begin, "next": end})

    def file(self, request: Request) -> Response:
        """Return a file of a run."""
        query = request.query_params
        path = file_of(self._folder.run(query.get("run", "")), query.get("path", ""))
        kind = _SHOWN.get(path.suffix.lower())
        if kind is None:
            return FileResponse(path, filename=path.name, media_type="application/octet-stream")
        return FileResponse(path, media_type=kind)
