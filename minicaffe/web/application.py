"""The application around routes: checks of requests, and errors as JSON."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from minicaffe.errors import MinicaffeError
from minicaffe.log import logger
from minicaffe.serving.errors import RequestRefused
from minicaffe.serving.json_text import JsonObject, json_object
from minicaffe.web.access import Access, AccessCheck
from minicaffe.web.request_limits import BodyLimit, RequestLimits


def web_application(
    routes: Sequence[BaseRoute], access: Access, limits: RequestLimits
) -> Starlette:
    """Return an ASGI application.

    Parameters
    ----------
    routes : sequence of BaseRoute
        Handlers may raise `MinicaffeError`, which is answered with status 400 or that of a
        `RequestRefused`, and `HTTPException`; the body is ``{"error": MESSAGE}``.
    access : Access
    limits : RequestLimits
    """
    return Starlette(
        routes=routes,
        middleware=[Middleware(AccessCheck, access=access), Middleware(BodyLimit, limits=limits)],
        exception_handlers={
            MinicaffeError: _refuse,
            HTTPException: _http_error,
            Exception: _fail,
        },
    )


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer in JSON, as `json_text` has it."""
    # Names of files may hold bytes that are not UTF-8, which Python keeps as lone surrogates.
    content = json_text(value).encode("utf-8", "backslashreplace")
    return Response(content, status, headers, "application/json")


def json_text(value: object) -> str:
    """Return JSON in one line; numbers that are not finite become null, because JSON has none."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))


async def json_body(request: Request) -> JsonObject:
    """Return the JSON object in the body of a request; an empty one without a body.

    Raises
    ------
    RequestRefused
        If it is none.
    """
    return json_object(await request.body() or b"{}")


def error_response(message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer ``{"error": MESSAGE}``."""
    return json_response({"error": message}, status, headers)


# Any: a JSON value, whose parts are of the same kind.
def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def _refuse(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RequestRefused) else 400
    later = {"retry-after": "1"} if status in (429, 503) else None
    message = ". ".join([str(error), *getattr(error, "__notes__", ())])
    return error_response(message, status, later)


def _http_error(request: Request, error: Exception) -> Response:
    refused = cast(HTTPException, error)  # as registered
    return error_response(refused.detail, refused.status_code, refused.headers)


def _fail(request: Request, error: Exception) -> Response:
    """Answer an error of the program itself; Starlette raises it again, and the server logs it."""
    where = "".join(traceback.format_exception(error)).rstrip()
    logger.error("%s %s: %s", request.method, request.url.path, where)
    return error_response("internal error; the log of the server has the details", 500)
