"""Requests and answers in the form of DeepDetect's server.

Sources: jolibrain/deepdetect, docs/api.md and src/jsonapi.cc (the codes of errors). Each answer has
a status with the code of HTTP, and for errors one of DeepDetect's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicaffe.prediction import ClassScores, FoundObjects, ImageAnswer, class_name
from minicaffe.serving.description import path_below
from minicaffe.serving.errors import LoadRefused, RequestRefused
from minicaffe.serving.image_answers import NamedImage, decode_base64, rounded
from minicaffe.serving.json_text import JsonObject, json_object
from minicaffe.serving.open_inference import is_natural

_MESSAGES = {
    200: "OK",
    201: "Created",
    400: "BadRequest",
    404: "NotFound",
    413: "PayloadTooLarge",
    415: "UnsupportedMediaType",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_SERVICE_NOT_FOUND, _INPUT_ERROR, _BAD_REQUEST = 1002, 1005, 1006
_LIBRARY = "caffe"


@dataclass(frozen=True)
class PredictRequest:
    """A request to `/predict`.

    Parameters
    ----------
    service : str
        The model.
    data : sequence of str
        Images in base64, or paths below the root.
    best : int
        Number of classes.
    threshold : float
        Objects and classes with a larger score are given.
    """

    service: str
    data: Sequence[str]
    best: int
    threshold: float

    def images(self, root: Path | None) -> list[NamedImage]:
        """Return the images; blocks while files are read.

        Raises
        ------
        RequestRefused
            If one is neither base64 nor a file below the root.
        """
        return [_image(text, k, root) for k, text in enumerate(self.data)]


def parse_predict(body: bytes) -> PredictRequest:
    """Return the request in a body.

    Raises
    ------
    RequestRefused
        If it is not valid.
    """
    request = json_object(body)
    service, data = request.get("service"), request.get("data")
    if not isinstance(service, str):
        raise RequestRefused('"service" must be the name of a model')
    if not isinstance(data, list) or not data or not all(isinstance(one, str) for one in data):
        raise RequestRefused('"data" must be an array of images, in base64 or as paths')
    output = _object(_object(request, "parameters"), "output")
    for name in ("template", "network", "measure", "rois", "index", "search", "ctc", "regression"):
        if output.get(name):
            raise RequestRefused(f"parameters.output.{name} is not available")
    best = output.get("best", 1)
    threshold = output.get("confidence_threshold", 0.0)
    if not is_natural(best) and best != -1:
        raise RequestRefused("parameters.output.best must be a number of classes")
    if not isinstance(threshold, int | float) or isinstance(threshold, bool):
        raise RequestRefused("parameters.output.confidence_threshold must be a number")
    return PredictRequest(service, data, best if best > 0 else 1 << 30, float(threshold))


def _object(owner: JsonObject, name: str) -> JsonObject:
    found = owner.get(name, {})
    if not isinstance(found, dict):
        raise RequestRefused(f'"{name}" must be an object')
    return found


def _image(text: str, index: int, root: Path | None) -> NamedImage:
    if text.startswith(("http://", "https://")):
        raise RequestRefused(
            f"{text[:200]}: addresses are not fetched; send the image in base64, or the path of a "
            "file below the folder of --root"
        )
    if root is not None and len(text) < 4096:
        try:
            path = Path(path_below(root, text))
            if path.is_file():
                return NamedImage(text, path.read_bytes())
        except LoadRefused:
            pass  # base64, or reported below
    name = f"data[{index}]"
    try:
        return decode_base64("".join(text.split()), name)
    except RequestRefused as error:
        where = "below the folder of --root" if root is not None else "(there is no --root)"
        raise RequestRefused(f"{name}: neither an image in base64 nor a file {where}") from error


def predict_answer(
    request: PredictRequest,
    answers: Sequence[tuple[NamedImage, ImageAnswer]],
    labels: Sequence[str],
    seconds: float,
) -> dict[str, object]:
    """Return the answer to a request."""
    predictions = [
        {"uri": image.name, "classes": _classes(answer, request, labels)}
        for image, answer in answers
    ]
    head = {"method": "/predict", "service": request.service, "time": round(1000 * seconds, 1)}
    return {"status": _status(200), "head": head, "body": {"predictions": predictions}}


def _classes(
    answer: ImageAnswer, request: PredictRequest, labels: Sequence[str]
) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    if isinstance(answer, ClassScores):
        found = [
            {"cat": class_name(labels, k), "prob": rounded(score)}
            for k, score in answer.best_classes(request.best)
            if score > request.threshold or not request.threshold
        ]
    elif isinstance(answer, FoundObjects):
        rows = answer.above(request.threshold)[::-1].tolist()
        found = [
            {
                "cat": class_name(labels, int(label)),
                "prob": rounded(score),
                # DeepDetect calls the larger row of a box ymin, and the smaller one ymax.
                "bbox": {"xmin": left, "ymax": top, "xmax": right, "ymin": bottom},
            }
            for label, score, left, top, right, bottom in rows
            if score > request.threshold
        ]
    else:
        raise RequestRefused("/predict answers for nets that classify or find objects")
    if found:
        found[-1]["last"] = True
    return found


def _status(code: int, dd_code: int = 0, message: str = "") -> dict[str, object]:
    status: dict[str, object] = {"code": code, "msg": _MESSAGES.get(code, "Error")}
    return status | ({"dd_code": dd_code, "dd_msg": message} if dd_code else {})


def error_answer(code: int, message: str) -> dict[str, object]:
    """Return the answer to a request that is refused, with the code of HTTP."""
    dd_code = {404: _SERVICE_NOT_FOUND, 400: _INPUT_ERROR}.get(code, _BAD_REQUEST)
    return {"status": _status(code, dd_code, message)}


def done_answer(code: int = 200) -> dict[str, object]:
    """Return an answer with a status alone."""
    return {"status": _status(code)}


def info_answer(version: str, services: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Return the answer of `/info`."""
    head = {"method": "/info", "version": version, "branch": "", "commit": ""}
    return {"status": _status(200), "head": head | {"services": list(services)}}


def service_answer(service: Mapping[str, object]) -> dict[str, object]:
    """Return the answer of `/services/NAME`."""
    return {"status": _status(200), "body": dict(service) | {"jobs": {}}}


def described_service(name: str, task: str) -> dict[str, object]:
    """Return what is said about a model."""
    return {"name": name, "mllib": _LIBRARY, "description": task}


def service_settings(body: bytes) -> dict[str, Any]:
    """Return the description of a model in a request to create a service.

    Raises
    ------
    RequestRefused
        If it names no files.
    """
    request = json_object(body)
    model = _object(request, "model")
    if request.get("mllib", _LIBRARY) != _LIBRARY:
        raise RequestRefused(f'"mllib" must be "{_LIBRARY}"')
    folder = model.get("repository")
    if not isinstance(folder, str) or not folder:
        raise RequestRefused('"model" needs "repository": a run or a folder below that of --root')
    weights = model.get("weights", "")
    if not isinstance(weights, str):
        raise RequestRefused('"weights" of "model" must be the name of a file')
    return {"weights": f"{folder}/{weights}" if weights else folder}
