"""Requests and answers of the Open Inference Protocol, with Triton's binary tensors and classes.

Sources: kserve/open-inference-protocol, specification/protocol/inference_rest.md; Triton's
docs/protocol/extension_binary_data.md and extension_classification.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minicaffe.ops.backend import HostArray, Shape
from minicaffe.serving.errors import RequestRefused
from minicaffe.serving.json_text import JsonObject, json_object
from minicaffe.serving.servable import Servable, TensorSpec

_TYPES: Mapping[str, npt.DTypeLike] = {
    "FP32": "<f4",
    "FP64": "<f8",
    "FP16": "<f2",
    "BOOL": "?",
    **{f"UINT{n}": f"<u{n // 8}" for n in (8, 16, 32, 64)},
    **{f"INT{n}": f"<i{n // 8}" for n in (8, 16, 32, 64)},
}
DATATYPES = tuple(_TYPES)
_MOST_AXES = 32
_UNAVAILABLE = ("sequence_id", "sequence_start", "sequence_end", "priority", "shared_memory_region")


@dataclass(frozen=True)
class RequestedOutput:
    """An output that a request asks for.

    Parameters
    ----------
    name : str
    is_binary : bool
    classes : int
        Number of the best classes to give instead of the values; 0: the values.
    """

    name: str
    is_binary: bool = False
    classes: int = 0


@dataclass(frozen=True)
class InferenceRequest:
    """A request, checked.

    Parameters
    ----------
    id : str or None
    inputs : mapping of str to ndarray of float32
    outputs : sequence of RequestedOutput
    timeout_s : float or None
    """

    id: str | None
    inputs: Mapping[str, HostArray]
    outputs: Sequence[RequestedOutput]
    timeout_s: float | None

    @property
    def wanted(self) -> list[str]:
        """The names of the outputs."""
        return [output.name for output in self.outputs]


def parse_inference(body: bytes, header_length: int | None, servable: Servable) -> InferenceRequest:
    """Return the request in a body.

    Parameters
    ----------
    body : bytes
    header_length : int, optional
        The length of the JSON, if binary tensors follow it.
    servable : Servable
        Whose inputs and outputs are asked for.

    Raises
    ------
    RequestRefused
        If it is not valid, with the reason.
    """
    length = len(body) if header_length is None else header_length
    if not 0 <= length <= len(body):
        raise RequestRefused(
            f"Inference-Header-Content-Length is {length}, and the body has {len(body)} bytes"
        )
    request = json_object(body[:length])
    parameters = _parameters(request, "the request")
    tensors = _objects(request, "inputs")
    inputs: dict[str, HostArray] = {}
    specs = {spec.name: spec for spec in servable.inputs}
    rest = memoryview(body)[length:]
    for tensor in tensors:
        name = _name(tensor, specs, "input")
        if name in inputs:
            raise RequestRefused(f'input "{name}" is given twice')
        inputs[name], rest = _array(tensor, specs[name], rest)
    if len(rest):
        raise RequestRefused(f"{len(rest)} bytes follow the binary tensors")
    missing = [name for name in specs if name not in inputs]
    if missing:
        raise RequestRefused(f'input "{missing[0]}" is missing; the model has {_listed(specs)}')
    if len({len(array) for array in inputs.values()}) > 1 and servable.batches:
        raise RequestRefused("the inputs have different numbers of samples, their first axis")
    return InferenceRequest(
        _id(request), inputs, _outputs(request, parameters, servable), _timeout(parameters)
    )


def _objects(request: JsonObject, field: str) -> list[JsonObject]:
    found = request.get(field)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise RequestRefused(f'"{field}" must be an array of objects')
    return found


def _name(tensor: JsonObject, known: Mapping[str, TensorSpec], kind: str) -> str:
    name = tensor.get("name")
    if not isinstance(name, str) or name not in known:
        raise RequestRefused(f"no {kind} {json.dumps(name)[:100]}; the model has {_listed(known)}")
    return name


def _listed(names: Mapping[str, TensorSpec]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _parameters(owner: JsonObject, what: str) -> JsonObject:
    found = owner.get("parameters", {})
    if not isinstance(found, dict):
        raise RequestRefused(f'"parameters" of {what} must be an object')
    for name in _UNAVAILABLE:
        if found.get(name):
            raise RequestRefused(f'parameter "{name}" is not available')
    return found


def _id(request: JsonObject) -> str | None:
    found = request.get("id")
    if found is not None and not isinstance(found, str):
        raise RequestRefused('"id" must be a string')
    return found


def _timeout(parameters: JsonObject) -> float | None:
    """Return the time in seconds; Triton's parameter has microseconds."""
    found = parameters.get("timeout")
    if found is None:
        return None
    if not is_natural(found) or found == 0:
        raise RequestRefused('parameter "timeout" must be a number of microseconds above 0')
    return float(min(found, 10**15)) / 1e6


def is_natural(value: object) -> bool:
    """Return whether a JSON value is an integer that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _array(tensor: JsonObject, spec: TensorSpec, rest: memoryview) -> tuple[HostArray, memoryview]:
    """Return the values of an input, float32, and the bytes after them."""
    name, kind = spec.name, tensor.get("datatype")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise RequestRefused(
            f'input "{name}": datatype {json.dumps(kind)[:100]}; it must be {", ".join(_TYPES)}'
        )
    shape = _shape(tensor, spec)
    size = _parameters(tensor, f'input "{name}"').get("binary_data_size")
    if size is None:
        values = _values(tensor.get("data"), name)
    else:
        dtype = np.dtype(_TYPES[kind])
        if not is_natural(size) or size > len(rest):
            raise RequestRefused(
                f'input "{name}": binary_data_size is {size}, and {len(rest)} bytes are left'
            )
        if size % dtype.itemsize:
            raise RequestRefused(
                f'input "{name}": binary_data_size {size} is no multiple of {dtype.itemsize}, the '
                f"bytes of a value of {kind}"
            )
        values, rest = np.frombuffer(rest[:size], dtype), rest[size:]
    if values.size != math.prod(shape):
        raise RequestRefused(
            f'input "{name}": {values.size} values for the shape {list(shape)}, which has '
            f"{math.prod(shape)}"
        )
    with np.errstate(over="ignore"):  # a value beyond float32 is infinite
        return values.reshape(shape).astype(np.float32, copy=False), rest


def _shape(tensor: JsonObject, spec: TensorSpec) -> Shape:
    found = tensor.get("shape")
    if not isinstance(found, list) or len(found) > _MOST_AXES or not all(map(is_natural, found)):
        raise RequestRefused(f'input "{spec.name}": "shape" must be an array of integers')
    fits = len(found) == len(spec.shape) and all(
        known in (-1, given) and given > 0 for known, given in zip(spec.shape, found, strict=True)
    )
    if not fits:
        raise RequestRefused(
            f'input "{spec.name}": shape {found}; the model takes {list(spec.shape)}'
            f"{', with any number for -1' if -1 in spec.shape else ''}"
        )
    return tuple(found)


def _values(data: object, name: str) -> HostArray:
    """Return the numbers in an array of JSON, which may be nested."""
    refused = RequestRefused(f'input "{name}": "data" must be an array of numbers')
    if not isinstance(data, list):
        raise refused
    try:
        values = np.asarray(data)
    except (ValueError, OverflowError) as error:  # of different lengths, or too deep
        raise refused from error
    if values.size and values.dtype.kind not in "biuf":
        raise refused
    return values.reshape(-1)


def _outputs(
    request: JsonObject, parameters: JsonObject, servable: Servable
) -> list[RequestedOutput]:
    specs = {spec.name: spec for spec in servable.outputs}
    all_binary = _flag(parameters, "binary_data_output")
    if request.get("outputs") in (None, []):
        return [RequestedOutput(name, all_binary) for name in specs]
    found = []
    for output in _objects(request, "outputs"):
        name = _name(output, specs, "output")
        given = _parameters(output, f'output "{name}"')
        classes = given.get("classification", 0)
        if not is_natural(classes):
            raise RequestRefused(f'output "{name}": "classification" must be a number of classes')
        is_binary = _flag(given, "binary_data") if "binary_data" in given else all_binary
        found.append(RequestedOutput(name, is_binary, classes))
    return found


def _flag(parameters: JsonObject, name: str) -> bool:
    found = parameters.get(name, False)
    if not isinstance(found, bool):
        raise RequestRefused(f'parameter "{name}" must be true or false')
    return found


def inference_answer(
    request: InferenceRequest,
    values: Mapping[str, HostArray],
    model: tuple[str, str],
    labels: Sequence[str],
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON if binary tensors follow.

    Parameters
    ----------
    request : InferenceRequest
    values : mapping of str to ndarray of float32
        The outputs.
    model : (str, str)
        Name and version.
    labels : sequence of str
        Names of the classes.
    """
    outputs, blocks = [], []
    for output in request.outputs:
        array = values[output.name]
        described: dict[str, object] = {"name": output.name}
        if output.classes:
            content = _best_classes(array, output, labels)
            described |= {"datatype": "BYTES", "shape": [len(content), len(content[0])]}
            texts = [text for row in content for text in row]
            block = b"".join(_counted(text.encode()) for text in texts) if output.is_binary else b""
        else:
            described |= {"datatype": "FP32", "shape": list(array.shape)}
            texts = [] if output.is_binary else array.ravel().tolist()
            block = array.astype("<f4", copy=False).tobytes() if output.is_binary else b""
        if output.is_binary:
            described["parameters"] = {"binary_data_size": len(block)}
            blocks.append(block)
        else:
            described["data"] = texts
        outputs.append(described)
    answer: dict[str, object] = {"model_name": model[0], "model_version": model[1]}
    if request.id is not None:
        answer["id"] = request.id
    answer["outputs"] = outputs
    text = finite_json(answer)
    return (b"".join([text, *blocks]), len(text)) if blocks else (text, None)


def finite_json(value: object) -> bytes:
    """Return a value as JSON; numbers that are not finite become null, because JSON has none."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_without_infinite(value), separators=(",", ":"))
    return text.encode()


# Any: a JSON value, whose parts are of the same kind.
def _without_infinite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_infinite(one) for key, one in value.items()}
    return [_without_infinite(one) for one in value] if isinstance(value, list) else value


def _best_classes(
    array: HostArray, output: RequestedOutput, labels: Sequence[str]
) -> list[list[str]]:
    """Return ``value:index[:label]`` of the best classes of each sample."""
    if array.ndim < 2:
        raise RequestRefused(f'output "{output.name}" has no classes: its shape is {array.shape}')
    rows = array.reshape(len(array), -1)
    found = []
    for row in rows:
        order = np.argsort(-row, kind="stable")[: output.classes]
        found.append(
            [f"{row[k]:g}:{k}" + (f":{labels[k]}" if k < len(labels) else "") for k in order]
        )
    return found


def _counted(text: bytes) -> bytes:
    return len(text).to_bytes(4, "little") + text


def model_metadata(name: str, versions: Sequence[str], servable: Servable) -> dict[str, object]:
    """Return what clients ask for before they send tensors."""

    def tensors(specs: Sequence[TensorSpec]) -> list[dict[str, object]]:
        return [
            {"name": spec.name, "datatype": "FP32", "shape": list(spec.shape)} for spec in specs
        ]

    return {
        "name": name,
        "versions": list(versions),
        "platform": servable.platform,
        "inputs": tensors(servable.inputs),
        "outputs": tensors(servable.outputs),
    }
