r"""Show trainings in the browser: curves that grow, nets, tests, and images to try.

The page shows the run folders below FOLDER. Trainings may be running or finished, and of this
computer or on a shared disk: the page reads their files only, and a training never waits for it.

Example:
  minicaffe board
  minicaffe board experiments/ --port 8080
  minicaffe board --host 0.0.0.0          # for other computers, with a random token
"""

from __future__ import annotations

from pathlib import Path

from minicaffe.cli.flags import positional
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


def run(flags: BoardFlags) -> int:
    """Answer until Ctrl-C."""
    require_web()
    from minicaffe.web.access import access_for
    from minicaffe.web.application import web_application
    from minicaffe.web.board.folder import BoardFolder
    from minicaffe.web.board.run_index import RunIndex
    from minicaffe.web.board.run_watch import RunWatch
    from minicaffe.web.board.site import board_routes
    from minicaffe.web.request_limits import RequestLimits
    from minicaffe.web.server import listening_socket, run_server, server_url

    root = Path(flags.folder)
    if not root.is_dir():
        raise UsageError(f"{flags.folder}: no such folder")
    access = access_for(flags.host, flags.token, flags.allow_host or [])
    folder = BoardFolder(root)
    watch = RunWatch(RunIndex(folder))
    application = web_application(board_routes(folder, watch), access, RequestLimits())
    listening = listening_socket(flags.host, flags.port, _FIRST_PORT)
    print(f"Board of {root.resolve()}: {server_url(listening, flags.host, access.token)}")
    print("Ctrl-C ends it.", flush=True)
    run_server(application, listening, drain_s=_DRAIN_S, at_stop=watch.stop)
    return 0
