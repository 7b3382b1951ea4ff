"""A client of the interface of a board, without a server."""

from contextlib import contextmanager

from small_run import RUN
from starlette.testclient import TestClient

from minicaffe.web.access import access_for
from minicaffe.web.application import web_application
from minicaffe.web.board.folder import BoardFolder
from minicaffe.web.board.site import board_routes
from minicaffe.web.request_limits import RequestLimits


@contextmanager
def board_client(root):
    """Yield a client of a board of a folder."""
    routes = board_routes(BoardFolder(root))
    application = web_application(routes, access_for("127.0.0.1", None), RequestLimits())
    with TestClient(application, base_url="http://127.0.0.1") as client:
        yield client


def answer(client, path, /, **query):
    """Return the JSON of a route; by default of the small run."""
    response = client.get(f"/api/{path}", params={**RUN, **query})
    assert response.status_code == 200, response.text
    return response.json()
