"""Requests of the Open Inference Protocol: what is accepted, cast and refused."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest

from minicaffe.errors import MinicaffeError
from minicaffe.serving.deepdetect import parse_predict
from minicaffe.serving.description import ModelDescription
from minicaffe.serving.errors import RequestRefused
from minicaffe.serving.open_inference import inference_answer, parse_inference
from minicaffe.serving.servable import TensorSpec

SERVABLE = SimpleNamespace(
    batches=True,
    inputs=[TensorSpec("a", (-1, 2)), TensorSpec("b", (-1,))],
    outputs=[TensorSpec("y", (-1, 3)), TensorSpec("z", (-1, 3))],
)


def tensor(name, shape, data, kind="FP32", **more):
    return {"name": name, "shape": shape, "datatype": kind, "data": data, **more}


A, B = tensor("a", [2, 2], [1, 2, 3, 4]), tensor("b", [2], [5, 6])


def parsed(**request):
    return parse_inference(json.dumps(request).encode(), None, SERVABLE)


def test_flat_and_nested_data_are_alike():
    for data in ([1, 2, 3, 4], [[1, 2], [3, 4]], [[1.0], [2], [3], [4]]):
        found = parsed(inputs=[tensor("a", [2, 2], data), B]).inputs["a"]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, [[1, 2], [3, 4]])


@pytest.mark.parametrize("kind", ["UINT8", "INT8", "INT64", "UINT16", "FP16", "FP64", "BOOL"])
@pytest.mark.parametrize("is_binary", [False, True])
def test_other_types_are_cast(kind, is_binary):
    names = {"FP16": "<f2", "FP64": "<f8", "BOOL": "?"}
    dtype = np.dtype(names.get(kind, kind.lower()))
    values = np.array([[0, 1], [1, 0]]).astype(dtype)
    described = tensor("a", [2, 2], values.tolist(), kind)
    block = b""
    if is_binary:
        block = values.tobytes()
        del described["data"]
        described["parameters"] = {"binary_data_size": len(block)}
    text = json.dumps({"inputs": [described, B]}).encode()
    found = parse_inference(text + block, len(text), SERVABLE)
    np.testing.assert_array_equal(found.inputs["a"], [[0, 1], [1, 0]])


def test_binary_tensors_are_taken_in_their_order():
    text = json.dumps(
        {
            "inputs": [
                {
                    "name": "b",
                    "shape": [1],
                    "datatype": "INT16",
                    "parameters": {"binary_data_size": 2},
                },
                {
                    "name": "a",
                    "shape": [1, 2],
                    "datatype": "UINT8",
                    "parameters": {"binary_data_size": 2},
                },
            ]
        }
    ).encode()
    found = parse_inference(text + b"\xfe\xff\x07\x08", len(text), SERVABLE).inputs
    assert (found["b"].tolist(), found["a"].tolist()) == ([-2], [[7, 8]])
    for body, message in (
        (text + b"\1\2\3", "2 bytes, and 1 are left|binary_data_size is 2, and 1 bytes are left"),
        (text + b"12345", "1 bytes follow the binary tensors"),
    ):
        with pytest.raises(RequestRefused, match=message):
            parse_inference(body, len(text), SERVABLE)
    with pytest.raises(RequestRefused, match="Inference-Header-Content-Length is 900"):
        parse_inference(text, 900, SERVABLE)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, '"inputs" must be an array of objects'),
        ({"inputs": [1]}, '"inputs" must be an array of objects'),
        ({"inputs": [A]}, 'input "b" is missing; the model has "a", "b"'),
        ({"inputs": [A, A, B]}, 'input "a" is given twice'),
        ({"inputs": [A, B | {"name": "c"}]}, 'no input "c"; the model has "a", "b"'),
        ({"inputs": [A, tensor("b", [3], [1, 2, 3])]}, "different numbers of samples"),
        ({"inputs": [A, tensor("b", [2], [1])]}, '"b": 1 values for the shape [2], which has 2'),
        ({"inputs": [A, tensor("b", [2, 1], [1, 2])]}, "shape [2, 1]; the model takes [-1]"),
        ({"inputs": [A, tensor("b", [0], [])]}, "shape [0]; the model takes [-1]"),
        ({"inputs": [A, tensor("b", [True], [1])]}, '"shape" must be an array of integers'),
        ({"inputs": [A, tensor("b", [2], ["1", "2"])]}, '"data" must be an array of numbers'),
        ({"inputs": [A, tensor("b", [2], [1, [2]])]}, '"data" must be an array of numbers'),
        ({"inputs": [A, tensor("b", [2], [1, None])]}, '"data" must be an array of numbers'),
        ({"inputs": [A, tensor("b", [2], [1, 2], "BYTES")]}, 'datatype "BYTES"; it must be FP32'),
        ({"inputs": [A, B], "id": 3}, '"id" must be a string'),
        ({"inputs": [A, B], "outputs": [{"name": "x"}]}, 'no output "x"; the model has "y", "z"'),
        ({"inputs": [A, B], "parameters": []}, '"parameters" of the request must be an object'),
        ({"inputs": [A, B], "parameters": {"sequence_id": 3}}, '"sequence_id" is not available'),
        ({"inputs": [A, B], "parameters": {"timeout": -1}}, "a number of microseconds above 0"),
        ({"inputs": [A, B], "parameters": {"binary_data_output": 1}}, "must be true or false"),
    ],
)
def test_wrong_requests(request_, message):
    with pytest.raises(RequestRefused) as error:
        parsed(**request_)
    assert message in str(error.value)


Y = {"y": np.array([[0.5, np.nan, 2]], np.float32), "z": np.array([[3, 1, 2]], np.float32)}


def answer(**request):
    given = parsed(inputs=[A, B], **request)
    content, length = inference_answer(given, Y, ("m", "7"), ["ant", "bee"])
    found = json.loads(content[:length])
    return found, content[length:] if length is not None else None


def test_answers_in_json():
    found, block = answer(id="i")
    assert block is None
    assert found == {
        "model_name": "m",
        "model_version": "7",
        "id": "i",
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [0.5, None, 2.0]},
            {"name": "z", "datatype": "FP32", "shape": [1, 3], "data": [3.0, 1.0, 2.0]},
        ],
    }


def test_binary_answers_and_those_in_json_can_be_mixed():
    found, block = answer(
        parameters={"binary_data_output": True},
        outputs=[{"name": "z"}, {"name": "y", "parameters": {"binary_data": False}}],
    )
    assert [output["name"] for output in found["outputs"]] == ["z", "y"]
    assert found["outputs"][0]["parameters"] == {"binary_data_size": 12}
    assert found["outputs"][1]["data"] == [0.5, None, 2.0]
    assert np.frombuffer(block, "<f4").tolist() == [3, 1, 2]


@pytest.mark.parametrize("is_binary", [False, True])
def test_classes(is_binary):
    parameters = {"classification": 2, "binary_data": is_binary}
    found, block = answer(outputs=[{"name": "z", "parameters": parameters}])
    (output,) = found["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 2])
    expected = ["3:0:ant", "2:2"]
    if is_binary:
        assert block == b"\x07\0\0\x003:0:ant\x03\0\0\x002:2"
        assert output["parameters"] == {"binary_data_size": len(block)}
    else:
        assert output["data"] == expected


JSON_VALUES = [
    None,
    True,
    0,
    -1,
    2**70,
    1e400,
    1.5,
    "",
    "a",
    "\ud800",
    [],
    {},
    [[1]],
    {"name": "a"},
]


def mutated(value, rng):
    """Return JSON with one of its parts replaced, removed or repeated."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(sorted(value))
        if rng.random() < 0.2:
            return {other: part for other, part in value.items() if other != key}
        return {**value, key: mutated(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        k = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value + value[k : k + 1]
        return [*value[:k], mutated(value[k], rng), *value[k + 1 :]]
    return rng.choice(JSON_VALUES)


@pytest.mark.parametrize("seed", range(4))
def test_no_json_leads_to_another_error_than_a_refusal(seed):
    rng = random.Random(seed)
    valid = {
        "id": "1",
        "inputs": [A, B],
        "parameters": {"binary_data_output": True, "timeout": 5},
        "outputs": [{"name": "y", "parameters": {"classification": 2}}],
    }
    predict = {
        "service": "m",
        "data": ["aGVsbG8="],
        "parameters": {"output": {"best": 3, "confidence_threshold": 0.5}},
    }
    description = {"weights": "w", "mean": "1,2", "input_scale": 0.5, "short_side": 3}
    refused = accepted = 0
    for _ in range(1500):
        for start, read in (
            (valid, lambda text: parse_inference(text, None, SERVABLE)),
            (predict, parse_predict),
            (description, lambda text: ModelDescription.of_json(text.decode())),
        ):
            changed = start
            for _ in range(rng.randrange(1, 4)):
                changed = mutated(changed, rng)
            try:
                read(json.dumps(changed).encode())
                accepted += 1
            except MinicaffeError:
                refused += 1
    assert min(refused, accepted) > 300
