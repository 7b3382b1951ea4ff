"""Routes of the Open Inference Protocol and of Triton's model repository extension."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import minicaffe
from minicaffe.serving.errors import ModelNotReady, RequestRefused
from minicaffe.serving.json_text import JsonObject, json_object
from minicaffe.serving.open_inference import (
    inference_answer,
    model_metadata,
    parse_inference,
)
from minicaffe.serving.store import ModelStore
from minicaffe.web.application import json_response
from minicaffe.web.inference.waiting import results_for

T = TypeVar("T")

EXTENSIONS = ("binary_tensor_data", "classification", "model_repository")
_LARGE_BYTES = 1 << 18
_LENGTH = "inference-header-content-length"


class ProtocolRoutes:
    """Health, metadata, inference, and the repository of models.

    Parameters
    ----------
    store : ModelStore
    """

    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        get, post = ["GET"], ["POST"]
        model, version = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
        # Routes are tried in their order: the one with most requests is the first.
        found: list[BaseRoute] = [
            Route(f"{model}/infer", self.infer, methods=post),
            Route(f"{version}/infer", self.infer, methods=post),
            Route("/v2", self.server, methods=get),
            Route("/v2/health/live", self.live, methods=get),
            Route("/v2/health/ready", self.ready, methods=get),
            Route("/v2/repository/index", self.index, methods=post),
            Route("/v2/repository/models/{name}/load", self.load, methods=post),
            Route("/v2/repository/models/{name}/unload", self.unload, methods=post),
        ]
        for path in (model, version):
            found += [
                Route(path, self.metadata, methods=get),
                Route(f"{path}/ready", self.model_ready, methods=get),
            ]
        return found

    async def server(self, request: Request) -> Response:
        """Describe the server."""
        about = {"name": "minicaffe", "version": minicaffe.__version__}
        return json_response({**about, "extensions": list(EXTENSIONS)})

    async def live(self, request: Request) -> Response:
        """Say that the server answers."""
        return json_response({"live": True})

    async def ready(self, request: Request) -> Response:
        """Say whether all models can be used; status 503 if not."""
        is_ready = self._store.is_ready
        return json_response({"ready": is_ready}, 200 if is_ready else 503)

    async def metadata(self, request: Request) -> Response:
        """Describe inputs and outputs of a model."""
        name, version = model_of(request)
        found = self._store.find_version(name, version)
        versions = [one.version for one in self._store.versions_of(name)]
        return json_response(model_metadata(name, versions, found.servable))

    async def model_ready(self, request: Request) -> Response:
        """Say whether a model can be used; status 503 if not."""
        name, version = model_of(request)
        try:
            self._store.find_version(name, version)
        except ModelNotReady:
            return json_response({"name": name, "ready": False}, 503)
        is_ready = not self._store.is_ending
        return json_response({"name": name, "ready": is_ready}, 200 if is_ready else 503)

    async def infer(self, request: Request) -> Response:
        """Compute outputs of inputs."""
        headers = request.headers
        name, version = model_of(request)
        body = await plain_body(request)
        model = self._store.find_version(name, version)
        parse = partial(parse_inference, body, _header_length(headers), model.servable)
        try:
            parsed = await unblocked(parse, len(body))
        except RequestRefused:
            model.counters.outcomes["invalid"] += 1
            raise
        future = model.queue.submit(parsed.inputs, parsed.wanted, parsed.timeout_s)
        (values,) = await results_for(request.receive, [future])
        about = name, model.version
        answer = partial(inference_answer, parsed, values, about, model.servable.labels)
        content, length = await unblocked(answer, sum(one.nbytes for one in values.values()))
        if length is None:
            return Response(content, media_type="application/json")
        return Response(
            content, headers={_LENGTH: str(length)}, media_type="application/octet-stream"
        )

    async def index(self, request: Request) -> Response:
        """List the models with their versions and states."""
        given = await _settings(request)
        only_ready = given.get("ready", False)
        if not isinstance(only_ready, bool):
            raise RequestRefused('"ready" must be true or false')
        return json_response(await run_in_threadpool(self._store.index, only_ready))

    async def load(self, request: Request) -> Response:
        """Load a model, or its next version."""
        given = (await _settings(request)).get("parameters", {})
        if not isinstance(given, dict) or set(given) - {"config"}:
            raise RequestRefused('"parameters" must be an object with "config" alone')
        config, source = given.get("config"), None
        if config is not None:
            if not isinstance(config, str):
                raise RequestRefused('"config" must be a string with the JSON of a description')
            source = self._store.source_below_root(config)
        found = await self._store.load(request.path_params["name"], source)
        return json_response({"name": found.name, "version": found.version})

    async def unload(self, request: Request) -> Response:
        """Unload all versions of a model."""
        await _settings(request)
        await self._store.unload(request.path_params["name"])
        return json_response({})


def model_of(request: Request) -> tuple[str, str]:
    """Return name and version in the path of a request; the version may be empty."""
    given = request.path_params
    return given["name"], given.get("version", "")


async def plain_body(request: Request) -> bytes:
    """Return the body of a request.

    Raises
    ------
    HTTPException
        If it is compressed.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "compressed bodies are not accepted")
    return await request.body()


async def unblocked(function: Callable[[], T], n_bytes: int) -> T:
    """Return the result of a function: large data are read or written in a thread."""
    return await run_in_threadpool(function) if n_bytes > _LARGE_BYTES else function()


async def _settings(request: Request) -> JsonObject:
    """Return the JSON object in a body, which may be empty."""
    body = await plain_body(request) or b"{}"
    return await unblocked(partial(json_object, body), len(body))


def _header_length(headers: Mapping[str, str]) -> int | None:
    text = headers.get(_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise RequestRefused(f"Inference-Header-Content-Length: {text[:50]!r} is no number")
    return int(text[:18])
