"""Routes that take images: one for each task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from minicaffe.pictures.palette import label_png
from minicaffe.prediction import ImageAnswer, PixelClasses
from minicaffe.serving.errors import RequestRefused
from minicaffe.serving.image_answers import (
    AnswerOptions,
    NamedImage,
    answer_json,
    decode_base64,
)
from minicaffe.serving.json_text import json_object
from minicaffe.serving.store import ModelStore, ModelVersion
from minicaffe.web.application import json_response
from minicaffe.web.inference.image_service import ImageService
from minicaffe.web.inference.protocol_routes import model_of, plain_body, unblocked

TASKS = ("classify", "detect", "segment")
_OPTIONS = {"classify": {"top"}, "detect": {"min_score"}, "segment": set[str]()}


class ImageRoutes:
    """Classes, objects or masks of images.

    Parameters
    ----------
    store : ModelStore
    images : ImageService
    """

    def __init__(self, store: ModelStore, images: ImageService) -> None:
        self._store, self._images = store, images

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route(f"{path}/{task}", self.answer, methods=["POST"], name=task)
            for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
            for task in TASKS
        ]

    async def answer(self, request: Request) -> Response:
        """Answer for the images of a request."""
        name, version = model_of(request)
        model = self._store.find_version(name, version)
        task = request.url.path.rpartition("/")[2]
        _require_task(model, task)
        options = _options(request, task)
        images = await _images(request)
        answers = await self._images.answers(request.receive, model, images)
        if task == "segment" and request.headers.get("accept") == "image/png":
            return _png(answers)
        found = await self._images.in_thread(
            lambda: [
                {"name": image.name, **answer_json(answer, options, model.servable.labels)}
                for image, answer in zip(images, answers, strict=True)
            ]
        )
        about = {"model_name": name, "model_version": model.version}
        return json_response({**about, "predictions": found})


def _require_task(model: ModelVersion, task: str) -> None:
    image_model = model.servable.image_model
    if image_model is not None and image_model.task != task:
        raise RequestRefused(
            f'model "{model.name}" does not {task}: use its route /{image_model.task}'
        )


def _options(request: Request, task: str) -> AnswerOptions:
    """Return the options in the query of a request."""
    given = dict(request.query_params)
    unknown = set(given) - _OPTIONS[task]
    if unknown:
        known = ", ".join(sorted(_OPTIONS[task])) or "no options"
        raise RequestRefused(f"no option {min(unknown)[:50]!r} of /{task}, which has {known}")
    top, least = given.get("top", "5"), given.get("min_score", "0.5")
    if not (top.isascii() and top.isdecimal() and 0 < int(top[:9]) < 10**6):
        raise RequestRefused(f"top={top[:50]}: must be a number of classes")
    try:
        score = float(least)
    except ValueError as error:
        raise RequestRefused(f"min_score={least[:50]}: must be a number") from error
    return AnswerOptions(int(top), score)


async def _images(request: Request) -> list[NamedImage]:
    """Return the images of a body: the files of a form, JSON with base64, or one file."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _form_images(request)
    body = await plain_body(request)
    if kind == "application/json":
        return await unblocked(partial(_json_images, body), len(body))
    if not body:
        raise RequestRefused("no image: send a form with files, JSON with base64, or a file")
    return [NamedImage("image", body)]


async def _form_images(request: Request) -> list[NamedImage]:
    found = []
    async with request.form(max_fields=0) as form:
        for field, value in form.multi_items():
            if isinstance(value, UploadFile):
                found.append(NamedImage(value.filename or field, await value.read()))
    return found


def _json_images(body: bytes) -> list[NamedImage]:
    given = json_object(body)
    texts = given.get("images")
    if set(given) != {"images"} or not isinstance(texts, list):
        raise RequestRefused('the JSON must be {"images": [BASE64, ...]}')
    if not all(isinstance(text, str) for text in texts):
        raise RequestRefused('"images" must be an array of strings in base64')
    return [decode_base64(text, f"images[{k}]") for k, text in enumerate(texts)]


def _png(answers: Sequence[ImageAnswer]) -> Response:
    if len(answers) != 1 or not isinstance(answers[0], PixelClasses):
        raise RequestRefused("Accept: image/png needs a request with one image")
    return Response(label_png(answers[0].classes), media_type="image/png")
