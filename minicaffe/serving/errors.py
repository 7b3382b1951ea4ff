"""Reasons why the service does not answer a request."""

from __future__ import annotations

from minicaffe.errors import MinicaffeError


class RequestRefused(MinicaffeError):
    """A request is not answered.

    Attributes
    ----------
    status : int
        The status code of HTTP.
    outcome : str
        How the counters name it.
    """

    status, outcome = 400, "invalid"


class UnknownModel(RequestRefused):
    """No model has this name and version."""

    status, outcome = 404, "invalid"


class ModelNotReady(RequestRefused):
    """The model is not loaded, or the service is about to end."""

    status, outcome = 503, "refused"


class QueueFull(RequestRefused):
    """Too many requests wait."""

    status, outcome = 429, "refused"


class RequestTimeout(RequestRefused):
    """The answer was not there in time."""

    status, outcome = 504, "timeout"


class LoadRefused(RequestRefused):
    """A model may not be loaded, or cannot be."""

    status, outcome = 400, "invalid"
