"""All routes of the inside of a run."""

from __future__ import annotations

from starlette.routing import BaseRoute

from minicaffe.web.board.inside.data_routes import data_routes
from minicaffe.web.board.inside.net_routes import net_routes
from minicaffe.web.board.inside.test_routes import test_routes
from minicaffe.web.board.inside.try_routes import try_routes
from minicaffe.web.board.inside.weight_routes import weight_routes
from minicaffe.web.board.run_index import RunIndex


def inside_routes(index: RunIndex) -> list[BaseRoute]:
    """Return the routes of nets, weights, images to try, tests and data."""
    return [
        *net_routes(index),
        *weight_routes(index),
        *try_routes(index),
        *test_routes(index),
        *data_routes(index),
    ]
