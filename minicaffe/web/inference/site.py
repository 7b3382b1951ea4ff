"""All routes of the service."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from minicaffe.serving.counters import prometheus_text
from minicaffe.serving.store import ModelStore
from minicaffe.web.application import json_response
from minicaffe.web.inference.deepdetect_routes import DeepDetectRoutes
from minicaffe.web.inference.image_routes import ImageRoutes
from minicaffe.web.inference.image_service import ImageService
from minicaffe.web.inference.openapi import openapi_document
from minicaffe.web.inference.protocol_routes import ProtocolRoutes

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class ImageLimits:
    """Limits of images.

    Parameters
    ----------
    pixels : int
        Of an image.
    waiting : int
        Images that wait to be prepared.
    """

    pixels: int = 1 << 26
    waiting: int = 4096


def service_routes(store: ModelStore, limits: ImageLimits) -> list[BaseRoute]:
    """Return the routes of the service."""
    images = ImageService(limits.pixels, limits.waiting)

    async def metrics(request: Request) -> Response:
        """Return the counters for Prometheus."""
        return Response(prometheus_text(store.loaded()), media_type=_PROMETHEUS)

    async def openapi(request: Request) -> Response:
        """Return the description of all routes."""
        return json_response(openapi_document(store.known_names()))

    return [
        *ProtocolRoutes(store).routes(),
        *ImageRoutes(store, images).routes(),
        *DeepDetectRoutes(store, images).routes(),
        Route("/metrics", metrics, methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
    ]
