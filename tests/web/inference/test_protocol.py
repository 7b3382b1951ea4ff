"""The Open Inference Protocol over HTTP, with Triton's client where it is installed."""

import json
import shutil

import numpy as np
import pytest

from image_nets import picture
from minicaffe.cli.main import main

X = np.random.default_rng(3).uniform(-99, 99, (5, 3, 6, 9)).astype(np.float32)


def test_health_and_metadata(service):
    assert service.get("/v2/health/live").json() == {"live": True}
    assert service.get("/v2/health/ready").json() == {"ready": True}
    server = service.get("/v2").json()
    assert server["name"] == "minicaffe"
    assert "binary_tensor_data" in server["extensions"]
    assert service.get("/v2/models/classes").json() == {
        "name": "classes",
        "versions": ["1"],
        "platform": "minicaffe",
        "inputs": [{"name": "data", "datatype": "FP32", "shape": [-1, 3, 6, 9]}],
        "outputs": [{"name": "prob", "datatype": "FP32", "shape": [-1, 3]}],
    }
    assert service.get("/v2/models/classes/versions/1/ready").json()["ready"] is True
    assert service.get("/v2/models/steps").json()["inputs"][1]["shape"] == [3, 1]


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v2/models/clases", 404, 'no model "clases". Did you mean classes?'),
        ("/v2/models/classes/versions/9", 404, 'has no version "9"; it has 1'),
        ("/v2/models/nix/ready", 404, 'no model "nix"'),
        ("/v3", 404, "Not Found"),
        ("/v2/models/classes/infer", 405, "Method Not Allowed"),
    ],
)
def test_wrong_paths(service, path, status, message):
    answer = service.get(path)
    assert answer.status == status
    assert message in answer.json()["error"]


def test_values_of_json_and_binary_tensors_agree(service):
    described = {"name": "data", "shape": list(X.shape), "datatype": "FP32"}
    in_json = service.post(
        "/v2/models/classes/infer", {"id": "7", "inputs": [described | {"data": X.tolist()}]}
    ).json()
    assert (in_json["id"], in_json["model_version"]) == ("7", "1")
    described["parameters"] = {"binary_data_size": X.nbytes}
    outputs = [{"name": "prob", "parameters": {"binary_data": True}}]
    text = json.dumps({"inputs": [described], "outputs": outputs}).encode()
    answer = service.post(
        "/v2/models/classes/versions/1/infer",
        text + X.tobytes(),
        Inference_Header_Content_Length=str(len(text)),
    )
    length = int(answer.headers["Inference-Header-Content-Length"])
    found = np.frombuffer(answer.content[length:], "<f4")
    np.testing.assert_array_equal(found, np.float32(in_json["outputs"][0]["data"]))
    assert found.reshape(5, 3).sum(axis=1) == pytest.approx(np.ones(5))


def test_any_net_takes_arrays(service):
    inputs = [
        {"name": "x", "shape": [3, 1, 2], "datatype": "FP64", "data": [1, 2, 3, 4, 5, 6]},
        {"name": "cont", "shape": [3, 1], "datatype": "BOOL", "data": [False, True, True]},
    ]
    answer = service.post("/v2/models/steps/infer", {"inputs": inputs}).json()
    assert answer["outputs"][0]["shape"] == [3, 1, 4]
    refused = service.post("/v2/models/steps/classify", picture())
    assert (refused.status, "takes arrays only" in refused.json()["error"]) == (400, True)


def test_refusals_are_counted_and_say_why(service):
    line = 'minicaffe_requests_total{model="classes",version="1",outcome="invalid"}'
    before = service.metric(line)
    for body, message in (
        (b"{", "no JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"inputs": []}', 'input "data" is missing'),
    ):
        answer = service.post("/v2/models/classes/infer", body)
        assert answer.status == 400
        assert message in answer.json()["error"]
    compressed = service.post("/v2/models/classes/infer", b"x", content_encoding="gzip")
    assert compressed.status == 415
    assert service.metric(line) == before + 3


def test_models_are_loaded_and_unloaded(service):
    config = {"weights": "classes.caffemodel", "net": "classes.prototxt"}
    load = "/v2/repository/models/more/load"
    body = {"parameters": {"config": json.dumps(config)}}
    assert service.post(load).status == 404
    assert service.post(load, body).json() == {"name": "more", "version": "1"}
    assert service.post(load).json()["version"] == "1"  # nothing has changed
    new = service.folder / "new.caffemodel"
    shutil.copy(service.folder / "classes.caffemodel", new)
    new.replace(service.folder / "classes.caffemodel")
    assert service.post(load).json()["version"] == "2"
    index = {(one["name"], one["version"]): one["state"] for one in index_of(service)}
    assert index["more", "2"] == "READY"
    assert ("more", "1") not in index
    assert service.get("/v2/models/more/versions/1").status == 404
    assert service.post("/v2/repository/models/more/unload", b"{}").json() == {}
    unloaded = service.post("/v2/models/more/infer", {"inputs": []})
    assert unloaded.status == 404
    assert "is unavailable: unloaded" in unloaded.json()["error"]
    assert service.get("/v2/models/more/ready").status == 404
    (entry,) = [one for one in index_of(service) if one["name"] == "more"]
    assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", "unloaded")
    ready = service.post("/v2/repository/index", {"ready": True}).json()
    assert {one["name"] for one in ready} == {"classes", "pixels", "objects", "steps"}
    assert service.post(load).json()["version"] == "3"
    assert service.post("/v2/repository/models/more/unload").status == 200


def index_of(service):
    return service.post("/v2/repository/index").json()


@pytest.mark.parametrize("path", ["../x.caffemodel", "/etc/passwd", "a\0b", "x" * 5000])
@pytest.mark.parametrize("field", ["weights", "net", "labels", "mean"])
def test_paths_lead_nowhere_else(service, path, field):
    config = {"weights": "classes.caffemodel", field: path}
    body = {"parameters": {"config": json.dumps(config)}}
    answer = service.post("/v2/repository/models/other/load", body)
    assert answer.status == 400
    assert "not a file or run below the folder of --root" in answer.json()["error"]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("labels.txt", "labels.txt: a binary file is needed here"),
        ("nothing.caffemodel", "nothing.caffemodel: No such file or directory"),
        (".", "is a folder; a file is needed"),
    ],
)
def test_models_that_cannot_be_loaded_leave_those_that_are(service, weights, message):
    config = {"weights": weights, "net": "classes.prototxt"}
    body = {"parameters": {"config": json.dumps(config)}}
    answer = service.post("/v2/repository/models/classes/load", body)
    assert answer.status == 400
    assert message in answer.json()["error"]
    assert service.get("/v2/models/classes/ready").status == 200
    assert service.get("/v2/health/ready").status == 200


def test_tritons_client(service):
    triton = pytest.importorskip("tritonclient.http")
    client = triton.InferenceServerClient(f"127.0.0.1:{service.port}")
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("classes")
        assert client.get_server_metadata()["name"] == "minicaffe"
        assert client.get_model_metadata("classes", "1")["versions"] == ["1"]
        found = []
        for is_binary in (True, False):
            given = triton.InferInput("data", X.shape, "FP32")
            given.set_data_from_numpy(X, binary_data=is_binary)
            asked = triton.InferRequestedOutput("prob", binary_data=is_binary)
            for outputs in ([asked], None):
                result = client.infer("classes", [given], outputs=outputs, request_id="r1")
                assert result.get_response()["id"] == "r1"
                found.append(result.as_numpy("prob"))
        for values in found:
            np.testing.assert_array_equal(values, found[0])
        assert found[0].shape == (5, 3)
        best = triton.InferRequestedOutput("prob", class_count=1)
        (text,) = client.infer("classes", [given], outputs=[best]).as_numpy("prob")[0]
        k = int(found[0][0].argmax())
        assert text.decode().split(":")[1:] == [str(k), ("ant", "bee", "cat")[k]]
        with pytest.raises(Exception, match="no model"):
            client.infer("nix", [given])
        assert "classes" in [one["name"] for one in client.get_model_repository_index()]
        client.load_model("steps")
        client.unload_model("steps")
        assert not client.is_model_ready("steps")
        client.load_model("steps")
    finally:
        client.close()


def test_classes_are_those_of_predict(service, monkeypatch, capfd):
    monkeypatch.chdir(service.folder)
    names = []
    for k in range(4):
        names.append(f"image{k}.png")
        (service.folder / names[-1]).write_bytes(picture(seed=k))
    words = ["--net=classes.prototxt", "--labels=labels.txt", "--format=json", "--top=2"]
    assert main(["predict", "classes.caffemodel", *names, *words]) == 0
    expected = [one["predictions"] for one in json.loads(capfd.readouterr().out)]
    for k, classes in enumerate(expected):
        answer = service.post("/v2/models/classes/classify?top=2", picture(seed=k)).json()
        (found,) = answer["predictions"]
        assert [one["class"] for one in found["classes"]] == [one["class"] for one in classes]
        for one, other in zip(found["classes"], classes, strict=True):
            assert one["score"] == pytest.approx(other["score"], rel=1e-4)
