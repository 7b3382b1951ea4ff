r"""Show trainings in the browser: curves that grow, nets, tests, and images to try.

The page shows the run folders below FOLDER. Trainings may be running or finished, and of this
computer or on a shared disk: the page reads their files only, and a training never waits for it.

Trainings of this computer can be started, stopped and resumed on the page. What is started waits in
a queue, FOLDER/.minicaffe, and goes on when the board ends. --no_control makes a board that only
shows.

Example:
  minicaffe board
  minicaffe board experiments/ --port 8080
  minicaffe board --host 0.0.0.0          # for other computers, with a random token
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.web import WebFlags, require_web
from minicaffe.errors import UsageError

MINLOGLEVEL = 1  # the nets that pages show are not logged
_FIRST_PORT = 6006
_DRAIN_S = 3


class BoardFlags(WebFlags):
    """Flags of the command."""

    folder: str = positional(
        metavar="FOLDER", nargs="?", default=".", help="folder with runs below it"
    )
    jobs: int | None = flag(
        at_least=1, metavar="N", help="how many jobs of the queue run at a time (default: 1)"
    )
    no_control: bool = flag(help="only show: start, stop and change nothing")


def run(flags: BoardFlags) -> int:
    """Answer until Ctrl-C."""
    require_web()
    from minicaffe.cli.job_forms import job_forms
    from minicaffe.web.access import access_for
    from minicaffe.web.application import web_application
    from minicaffe.web.board.folder import BoardFolder
    from minicaffe.web.board.run_index import RunIndex
    from minicaffe.web.board.run_watch import RunWatch
    from minicaffe.web.board.site import board_routes
    from minicaffe.web.jobs.routes import JobRoutes
    from minicaffe.web.jobs.runner import JobRunner
    from minicaffe.web.request_limits import RequestLimits
    from minicaffe.web.server import listening_socket, run_server, server_url

    root = Path(flags.folder)
    if not root.is_dir():
        raise UsageError(f"{flags.folder}: no such folder")
    if flags.no_control and flags.jobs is not None:
        raise UsageError("--jobs and --no_control exclude each other; give one of them")
    access = access_for(flags.host, flags.token, flags.allow_host or [])
    folder = BoardFolder(root)
    limit = 0 if flags.no_control else flags.jobs or 1
    watch, jobs = RunWatch(RunIndex(folder)), JobRoutes(folder, job_forms(), limit)
    application = web_application(board_routes(folder, watch, jobs), access, RequestLimits())
    listening = listening_socket(flags.host, flags.port, _FIRST_PORT)
    print(f"Board of {root.resolve()}: {server_url(listening, flags.host, access.token)}")
    print("Ctrl-C ends it.", flush=True)
    with JobRunner(jobs.queue, limit) if limit else nullcontext():
        run_server(application, listening, drain_s=_DRAIN_S, at_stop=watch.stop)
    return 0
