"""The description of all routes, OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import minicaffe
from minicaffe.serving.open_inference import DATATYPES

Json: TypeAlias = dict[str, Any]  # JSON

_JSON, _BYTES = "application/json", "application/octet-stream"
_COUNT: Json = {"type": "integer", "minimum": 0}
_TEXT: Json = {"type": "string"}
_NUMBER: Json = {"type": "number"}
_FLAG: Json = {"type": "boolean"}


def openapi_document(names: Sequence[str]) -> Json:
    """Return the description.

    Parameters
    ----------
    names : sequence of str
        The models that are known.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "minicaffe serve",
            "version": minicaffe.__version__,
            "description": "Answers of trained nets. Requests have the form of the Open Inference "
            "Protocol with Triton's extensions (/v2), of the image routes, or of DeepDetect.",
        },
        "paths": {**_protocol(names), **_repository(names), **_images(names), **_others(names)},
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _array(items: Json, **more: object) -> Json:
    return {"type": "array", "items": items, **more}


def _object(required: Mapping[str, Json], optional: Mapping[str, Json] | None = None) -> Json:
    found: Json = {"type": "object", "properties": {**required, **(optional or {})}}
    return found | ({"required": list(required)} if required else {})


def _content(kind: str, schema: Json) -> Json:
    return {"content": {kind: {"schema": schema}}}


def _answers(schema: Json | None, errors: Sequence[int], also: Json | None = None) -> Json:
    """Return the answers of a route: 200 with a schema, and errors."""
    ok: Json = {"description": "The answer.", **(_content(_JSON, schema) if schema else {})}
    refused = {
        str(code): {"description": _REASONS[code], **_content(_JSON, _ref("Error"))}
        for code in errors
    }
    return {"200": ok, **refused, **(also or {})}


_REASONS = {
    400: "The request is not valid; the message says why.",
    404: "There is no such model or version, or it is not loaded.",
    408: "The body has not arrived in time.",
    413: "The body is too large.",
    415: "The body is compressed.",
    429: "Too many requests wait.",
    503: "The model is being loaded or unloaded, or the service is about to end.",
    504: "The answer was not there in time.",
}
_BODY_ERRORS = (400, 404, 408, 413, 415, 429, 503, 504)


def _operation(name: str, summary: str, answers: Json, **more: object) -> Json:
    return {"operationId": name, "summary": summary, "responses": answers, **more}


def _name_in_path(names: Sequence[str]) -> Json:
    found: Json = {"name": "name", "in": "path", "required": True, "schema": _TEXT}
    return found | ({"example": names[0]} if names else {})


_VERSION: Json = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": _TEXT,
    "example": "1",
}


def _of_models(names: Sequence[str], suffix: str, method: str, operation: Json) -> Json:
    """Return the paths of an operation on a model, and on a version of it."""
    path, name = f"/v2/models/{{name}}{suffix}", str(operation["operationId"])
    versioned = f"/v2/models/{{name}}/versions/{{version}}{suffix}"
    in_path = [_name_in_path(names)]
    return {
        path: {"parameters": in_path, method: operation},
        versioned: {
            "parameters": [*in_path, _VERSION],
            method: {**operation, "operationId": f"{name}Version"},
        },
    }


_NOT_READY: Json = {
    "503": {"description": "Not ready.", **_content(_JSON, _object({"ready": _FLAG}))}
}
_BINARY: Json = {"type": "string", "format": "binary"}


def _protocol(names: Sequence[str]) -> Json:
    metadata = _operation(
        "metadata", "Describe inputs and outputs.", _answers(_ref("ModelMetadata"), (404, 503))
    )
    model_ready = _answers(_object({"name": _TEXT, "ready": _FLAG}), (404,), _NOT_READY)
    ready = _operation("modelReady", "Say whether it can be used.", model_ready)
    return {
        **_health(),
        **_of_models(names, "", "get", metadata),
        **_of_models(names, "/ready", "get", ready),
        **_of_models(names, "/infer", "post", _inference()),
    }


def _health() -> Json:
    server = _object({"name": _TEXT, "version": _TEXT, "extensions": _array(_TEXT)})
    live = _answers(_object({"live": _FLAG}), ())
    ready = _answers(_object({"ready": _FLAG}), (), _NOT_READY)
    return {
        "/v2": {"get": _operation("server", "Describe the server.", _answers(server, ()))},
        "/v2/health/live": {"get": _operation("live", "Say that it answers.", live)},
        "/v2/health/ready": {
            "get": _operation("ready", "Say whether all models can be used.", ready)
        },
    }


def _inference() -> Json:
    length: Json = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "The length of the JSON, if binary tensors follow it.",
        "schema": _COUNT,
    }
    kinds = {_JSON: {"schema": _ref("InferenceRequest")}, _BYTES: {"schema": _BINARY}}
    found = _operation(
        "infer",
        "Compute outputs of inputs.",
        _answers(_ref("InferenceAnswer"), _BODY_ERRORS),
        parameters=[length],
        requestBody={"required": True, "content": kinds},
    )
    found["responses"]["200"]["content"][_BYTES] = {"schema": _BINARY}
    return found


def _repository(names: Sequence[str]) -> Json:
    model: Json = {"parameters": [_name_in_path(names)]}
    errors = (400, 404, 408, 413, 415, 503)
    config: Json = {"type": "string", "description": "The JSON of a description of a model."}
    load = _body(_object({}, {"parameters": _object({}, {"config": config})}), False)
    return {
        "/v2/repository/index": {
            "post": _operation(
                "index",
                "List the models with their versions and states.",
                _answers(_array(_ref("IndexEntry")), (400, 408, 413, 415)),
                requestBody=_body(_object({}, {"ready": _FLAG}), False),
            )
        },
        "/v2/repository/models/{name}/load": model
        | {
            "post": _operation(
                "load",
                "Load a model, or its next version if its weights have changed.",
                _answers(_object({"name": _TEXT, "version": _TEXT}), errors),
                requestBody=load,
            )
        },
        "/v2/repository/models/{name}/unload": model
        | {
            "post": _operation(
                "unload",
                "Unload all versions of a model.",
                _answers(_object({}), errors),
                requestBody=_body(_object({}), False),
            )
        },
    }


def _body(schema: Json, is_required: bool) -> Json:
    return {"required": is_required, **_content(_JSON, schema)}


def _images(names: Sequence[str]) -> Json:
    body: Json = {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _object({"image": _BINARY})},
            _JSON: {"schema": _object({"images": _array(_TEXT, minItems=1)})},
            "image/*": {"schema": _BINARY},
        },
    }
    options: dict[str, Sequence[Json]] = {
        "classify": [_query("top", {"type": "integer", "minimum": 1, "default": 5})],
        "detect": [_query("min_score", {"type": "number", "default": 0.5})],
        "segment": [],
    }
    found: Json = {}
    for task, parameters in options.items():
        answers = _answers(_ref("ImageAnswer"), _BODY_ERRORS)
        if task == "segment":
            answers["200"]["content"]["image/png"] = {"schema": _BINARY}
        summary = {
            "classify": "Name the best classes of images.",
            "detect": "Find objects in images.",
            "segment": "Give each pixel of images a class.",
        }[task]
        operation = _operation(task, summary, answers, parameters=parameters, requestBody=body)
        found |= _of_models(names, f"/{task}", "post", operation)
    return found


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "schema": schema}


def _in_deepdetects_form(schema: Json, errors: Sequence[int]) -> Json:
    return _answers(schema, ()) | {
        str(code): {"description": _REASONS[code], **_content(_JSON, _ref("DeepDetectAnswer"))}
        for code in errors
    }


def _others(names: Sequence[str]) -> Json:
    answer = _ref("DeepDetectAnswer")
    predict = _operation(
        "predict",
        "Answer for images in DeepDetect's form.",
        _in_deepdetects_form(answer, _BODY_ERRORS),
        requestBody=_body(_ref("PredictRequest"), True),
    )
    metrics = {"200": {"description": "Metrics.", **_content("text/plain", _TEXT)}}
    return {
        "/info": {"get": _operation("info", "List the models.", _answers(answer, ()))},
        "/services/{name}": {"parameters": [_name_in_path(names)], **_services(answer)},
        "/predict": {"post": predict},
        "/metrics": {"get": _operation("metrics", "Count requests for Prometheus.", metrics)},
        "/openapi.json": {
            "get": _operation("openapi", "This description.", _answers(_object({}), ()))
        },
    }


def _services(answer: Json) -> Json:
    """Return the operations on a service, DeepDetect's name of a model."""
    refused = _in_deepdetects_form(answer, (400, 404, 408, 413, 415, 503))
    del refused["200"]
    create = _operation(
        "createService",
        "Load a model.",
        {"201": {"description": "Loaded.", **_content(_JSON, answer)}, **refused},
        requestBody=_body(_object({"model": _object({"repository": _TEXT})}), True),
    )
    describe = _in_deepdetects_form(answer, (404, 503))
    return {
        "get": _operation("service", "Describe a model.", describe),
        "put": create,
        "post": {**create, "operationId": "createServicePost"},
        "delete": _operation(
            "deleteService",
            "Unload a model.",
            _in_deepdetects_form(answer, (400, 404)),
            parameters=[_query("clear", {"type": "string", "enum": ["mem"]})],
        ),
    }


_TENSOR = {
    "name": _TEXT,
    "shape": _array(_COUNT),
    "datatype": {"type": "string", "enum": [*DATATYPES, "BYTES"]},
}
_DATA: Json = {"type": "array", "description": "The values in order; may be nested."}
_PARAMETERS: Json = {"type": "object"}
_SCHEMAS: Json = {
    "Error": _object({"error": _TEXT}),
    "TensorMetadata": _object(
        {"name": _TEXT, "datatype": _TEXT, "shape": _array({"type": "integer"})}
    ),
    "ModelMetadata": _object(
        {
            "name": _TEXT,
            "versions": _array(_TEXT),
            "platform": _TEXT,
            "inputs": _array(_ref("TensorMetadata")),
            "outputs": _array(_ref("TensorMetadata")),
        }
    ),
    "InferenceRequest": _object(
        {"inputs": _array(_object(_TENSOR, {"data": _DATA, "parameters": _PARAMETERS}))},
        {
            "id": _TEXT,
            "parameters": _PARAMETERS,
            "outputs": _array(_object({"name": _TEXT}, {"parameters": _PARAMETERS})),
        },
    ),
    "InferenceAnswer": _object(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "outputs": _array(_object(_TENSOR, {"data": _DATA, "parameters": _PARAMETERS})),
        },
        {"id": _TEXT},
    ),
    "IndexEntry": _object(
        {
            "name": _TEXT,
            "version": _TEXT,
            "state": {"type": "string", "enum": ["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]},
            "reason": _TEXT,
        }
    ),
    "NamedClass": _object({"label": _COUNT, "class": _TEXT}, {"score": _NUMBER, "pixels": _COUNT}),
    "FoundObject": _object(
        {
            "label": _COUNT,
            "class": _TEXT,
            "score": _NUMBER,
            "box": _array(_NUMBER, minItems=4, maxItems=4),
        }
    ),
    "ImageAnswer": _object(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "predictions": _array(
                _object(
                    {"name": _TEXT},
                    {
                        "classes": _array(_ref("NamedClass")),
                        "objects": _array(_ref("FoundObject")),
                        "mask": {"type": "string", "contentEncoding": "base64"},
                    },
                )
            ),
        }
    ),
    "PredictRequest": _object(
        {"service": _TEXT, "data": _array(_TEXT, minItems=1)},
        {
            "parameters": _object(
                {},
                {"output": _object({}, {"best": _COUNT, "confidence_threshold": _NUMBER})},
            )
        },
    ),
    "DeepDetectAnswer": _object(
        {"status": _object({"code": _COUNT, "msg": _TEXT}, {"dd_code": _COUNT, "dd_msg": _TEXT})},
        {"head": {"type": "object"}, "body": {"type": "object"}},
    ),
}
