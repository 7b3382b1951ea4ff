"""The routes of the board: one HTML page, its scripts, and the interface that they call."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from minicaffe.web.board.folder import BoardFolder
from minicaffe.web.board.inside.site import inside_routes
from minicaffe.web.board.metric_routes import metric_routes
from minicaffe.web.board.run_index import RunIndex
from minicaffe.web.board.run_routes import run_routes
from minicaffe.web.board.run_watch import RunWatch
from minicaffe.web.jobs.routes import JobRoutes

_STATIC = Path(__file__).with_name("static")
# Addresses that the scripts of the page know; static/main.js has the same.
_PAGES = ("/", "/run", "/compare", "/jobs", "/new")


def board_routes(
    folder: BoardFolder, watch: RunWatch | None = None, jobs: JobRoutes | None = None
) -> list[BaseRoute]:
    """Return the routes of the board.

    Parameters
    ----------
    folder : BoardFolder
        The folder that is shown.
    watch : RunWatch, optional
        Looks for changes of its runs, and ends the streams when the server ends.
    jobs : JobRoutes, optional
        Control of its trainings; by default the board only shows.
    """
    watch, jobs = watch or RunWatch(RunIndex(folder)), jobs or JobRoutes(folder, {}, 0)
    api = [*run_routes(watch.index), *metric_routes(watch), *inside_routes(watch.index)]
    return [
        *(Route(path, _page) for path in _PAGES),
        Mount("/api", routes=[*api, *jobs.routes()]),
        Mount("/static", _Scripts(directory=_STATIC)),
    ]


async def _page(request: Request) -> Response:
    return HTMLResponse(_html(), headers={"cache-control": "no-cache"})


@cache
def _html() -> str:
    """Return the page; it names all scripts, which a browser otherwise finds one after another."""
    scripts = sorted(path.relative_to(_STATIC).as_posix() for path in _STATIC.rglob("*.js"))
    links = [
        f'<link rel="modulepreload" href="/static/{script}">\n'
        for script in scripts
        if not script.startswith("uplot/")  # which is no module
    ]
    text = (_STATIC / "index.html").read_text(encoding="utf-8")
    return text.replace("</head>", f"{''.join(links)}</head>")


class _Scripts(StaticFiles):
    """Static files that a browser asks for again each time, so that an update is seen."""

    def file_response(self, *args: object, **kwargs: object) -> Response:  # as in the base class
        answer = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        answer.headers["cache-control"] = "no-cache"
        return answer
