"""JSON objects in the bodies of requests and in files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from minicaffe.serving.errors import RequestRefused

JsonObject = Mapping[str, Any]  # Any: JSON as a client sent it


def json_object(text: bytes | str, what: str = "the body") -> JsonObject:
    """Return the JSON object in a text; `what` is its name in messages.

    Raises
    ------
    RequestRefused
        If it is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(f"{what} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise RequestRefused(f"{what} must be a JSON object")
    return found
