"""Flags of the commands that answer HTTP requests."""

from __future__ import annotations

from minicaffe.cli.flags import Flags, flag
from minicaffe.errors import MissingPackage


class WebFlags(Flags):
    """Where a server listens, and who may send requests."""

    host: str = flag(
        default="127.0.0.1", metavar="ADDRESS", help="address to listen at; 0.0.0.0 for all"
    )
    port: int | None = flag(metavar="N", help="port (default: the first free one of ten)")
    token: str | None = flag(
        metavar="TEXT",
        help="what requests have to give; by default a random one if --host can be reached from "
        "other computers, otherwise none",
    )
    allow_host: list[str] = flag(
        action="append",
        default=[],
        metavar="NAME",
        help="a further name under which the server is reached; may be repeated",
    )


def require_web() -> None:
    """Check that the packages of the extra "web" are installed.

    Raises
    ------
    MissingPackage
        If one is not.
    """
    try:
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingPackage(
            f"{error.name or error}: not installed. Do: pip install 'minicaffe[web]'"
        ) from error
