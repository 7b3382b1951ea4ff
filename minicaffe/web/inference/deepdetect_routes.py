"""Routes in the form of DeepDetect's server: /info, /services, /predict."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import minicaffe
from minicaffe.errors import MinicaffeError
from minicaffe.serving.deepdetect import (
    described_service,
    done_answer,
    error_answer,
    info_answer,
    parse_predict,
    predict_answer,
    service_answer,
    service_settings,
)
from minicaffe.serving.errors import RequestRefused
from minicaffe.serving.store import ModelStore
from minicaffe.web.application import json_response
from minicaffe.web.inference.image_service import ImageService
from minicaffe.web.inference.protocol_routes import plain_body

Handler = Callable[[Request], Awaitable[Response]]


class DeepDetectRoutes:
    """What DeepDetect's clients need to predict.

    Parameters
    ----------
    store : ModelStore
    images : ImageService
    """

    def __init__(self, store: ModelStore, images: ImageService) -> None:
        self._store, self._images = store, images

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        service = "/services/{name}"
        return [
            Route("/info", _in_its_form(self.info), methods=["GET"]),
            Route(service, _in_its_form(self.service), methods=["GET"]),
            Route(service, _in_its_form(self.create_service), methods=["PUT", "POST"]),
            Route(service, _in_its_form(self.delete_service), methods=["DELETE"]),
            Route("/predict", _in_its_form(self.predict), methods=["POST"]),
        ]

    async def info(self, request: Request) -> Response:
        """List the models."""
        services = [self._described(name) for name in self._store.known_names()]
        return json_response(info_answer(minicaffe.__version__, services))

    async def service(self, request: Request) -> Response:
        """Describe a model."""
        name = request.path_params["name"]
        self._store.find_version(name)
        return json_response(service_answer(self._described(name)))

    async def create_service(self, request: Request) -> Response:
        """Load a model below the root, or one of the command line."""
        name, body = request.path_params["name"], await plain_body(request)
        settings = service_settings(body)
        source = None
        if name not in self._store.known_names():
            source = self._store.source_below_root(json.dumps(settings))
        await self._store.load(name, source)
        return json_response(done_answer(201), 201)

    async def delete_service(self, request: Request) -> Response:
        """Unload a model; its files stay."""
        clear = request.query_params.get("clear", "mem")
        if clear != "mem":
            raise RequestRefused(f"clear={clear[:50]}: files are not removed; use clear=mem")
        await self._store.unload(request.path_params["name"])
        return json_response(done_answer())

    async def predict(self, request: Request) -> Response:
        """Answer for images."""
        began = time.perf_counter()
        body = await plain_body(request)
        asked = await self._images.in_thread(lambda: parse_predict(body))
        model = self._store.find_version(asked.service)
        images = await self._images.in_thread(lambda: asked.images(self._store.root))
        answers = await self._images.answers(request.receive, model, images)
        seconds = time.perf_counter() - began
        pairs = list(zip(images, answers, strict=True))
        return json_response(predict_answer(asked, pairs, model.servable.labels, seconds))

    def _described(self, name: str) -> dict[str, object]:
        some = self._store.versions_of(name)
        image_model = some[-1].servable.image_model if some else None
        return described_service(name, image_model.task if image_model else "")


def _in_its_form(handler: Handler) -> Handler:
    """Return a handler whose errors have DeepDetect's form."""

    async def handled(request: Request) -> Response:
        try:
            return await handler(request)
        except MinicaffeError as error:
            status = error.status if isinstance(error, RequestRefused) else 400
            return json_response(error_answer(status, str(error)), status)
        except HTTPException as error:
            return json_response(error_answer(error.status_code, error.detail), error.status_code)

    return handled
