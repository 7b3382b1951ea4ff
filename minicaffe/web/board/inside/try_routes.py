"""Routes that answer for an image of the reader: classes, objects or a mask, and activations."""

from __future__ import annotations

import io

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from minicaffe.pictures.layer_values import activation_image
from minicaffe.serving.errors import RequestRefused
from minicaffe.serving.image_answers import AnswerOptions, NamedImage, answer_json, check_pixels
from minicaffe.web.application import error_response, json_response
from minicaffe.web.board.inside.run_parts import RunParts
from minicaffe.web.board.inside.trial import TrialRoom, TrialWeights
from minicaffe.web.board.run_index import RunIndex

_MOST_PIXELS = 50_000_000
_OPTIONS = AnswerOptions(min_score=0.05)  # the page has a slider for objects


def try_routes(index: RunIndex) -> list[BaseRoute]:
    """Return the routes."""
    routes = _TryRoutes(index)
    return [
        Route("/try", routes.try_image, methods=["POST"]),
        Route("/try/activation.png", routes.activation),
    ]


class _TryRoutes:
    """Answers for images."""

    def __init__(self, index: RunIndex) -> None:
        self._index, self._room = index, TrialRoom()

    async def try_image(self, request: Request) -> Response:
        """Return what a snapshot of a run says about the image of a form."""
        async with request.form(max_files=1, max_fields=0) as form:
            file = form.get("image")
            if not isinstance(file, UploadFile):
                raise HTTPException(400, 'no image: send a form with the file "image"')
            image = NamedImage(file.filename or "image", await file.read())
        return await run_in_threadpool(self._answer, request.query_params, image)

    def _answer(self, query: QueryParams, image: NamedImage) -> Response:
        parts = RunParts(self._index, query)
        snapshot, path = parts.chosen_weights()
        weights = TrialWeights(path, path.stat().st_mtime_ns, parts.tested_net().source)
        try:
            check_pixels(image, _MOST_PIXELS)
            trial = self._room.try_image(weights, image.content, image.name)
        except RequestRefused as error:
            return error_response(str(error), error.status)
        return json_response(
            {
                "trial": trial.number,
                "weights": snapshot,
                "task": trial.task,
                "size": trial.image.size,
                "seconds": trial.seconds,
                "blobs": [{"name": name, "shape": shape} for name, shape in trial.blobs.items()],
                **answer_json(trial.answer, _OPTIONS, trial.labels),
            }
        )

    def activation(self, request: Request) -> Response:
        """Return a picture of a blob for an image that was answered for."""
        query = request.query_params
        number, blob = query.get("trial", ""), query.get("blob", "")
        try:
            values = self._room.activation(int(number) if number.isdecimal() else 0, blob)
        except RequestRefused as error:
            return error_response(str(error), error.status)
        content = io.BytesIO()
        activation_image(blob, values).save(content, "PNG")
        return Response(content.getvalue(), media_type="image/png")
