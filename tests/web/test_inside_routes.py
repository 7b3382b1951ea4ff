"""The interface of the board: the net of a run, its weights, and images to try."""

import base64
import io
import re
import shutil
import time
import urllib.request
from contextlib import closing

import numpy as np
import pytest
from board_client import answer, board_client
from PIL import Image
from processes import served
from run_folders import write_run
from small_run import CLASSES, NET, RUN, image, write_small_run
from test_board_texts import STATIC

from image_nets import picture, write_image_nets
from minicaffe.backends import get_backend
from minicaffe.pictures.graph_drawing import DARK
from minicaffe.prediction import ModelFiles, open_image_model
from minicaffe.schema import read_net, read_net_weights
from minicaffe.web.board.inside import trial
from minicaffe.web.board.inside.weight_routes import chosen_snapshots


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    write_small_run(root)
    return root


@pytest.fixture(scope="module")
def client(root):
    """A client of a board of the folder."""
    with board_client(root) as client:
        yield client


def error(client, path, /, **query):
    response = client.get(f"/api/{path}", params={**RUN, **query})
    return response.status_code, response.json()["error"]


def test_the_drawing_has_a_group_for_each_node(client):
    net = answer(client, "net")
    assert net["nets"] == ["train", "test-0"]
    assert net["nodes"] == [["data"], ["conv", "relu"], ["ip"], ["loss"]]
    assert re.findall(r'<g data-node="(\d+)">', net["svg"]) == ["0", "1", "2", "3"]
    assert (net["parameters"], net["batch"], net["notes"]) == (4 * 9 + 4 + 3 * 144 + 3, 10, [])
    assert ["accuracy"] in answer(client, "net", net="test-0")["nodes"]


def test_the_drawing_passes_the_content_security_policy(client):
    svg = answer(client, "net")["svg"]
    assert not re.search(r"<style|\bstyle=|<script|\son\w+=", svg)


def test_the_page_has_the_colours_of_drawings():
    style = (STATIC / "inside.css").read_text()
    for light, dark in DARK.items():
        for kind in ("fill", "stroke"):
            rule = f"svg.net .{kind}-{light[1:]} {{ {kind}: light-dark({light}, {dark}); }}"
            assert rule in style


def test_a_layer_has_shapes_and_settings(client):
    layer = answer(client, "net/layer", layer="conv")
    assert layer["type"] == "Convolution"
    assert layer["bottoms"] == [{"name": "data", "shape": [10, 1, 8, 8]}]
    assert layer["tops"] == [{"name": "conv", "shape": [10, 4, 6, 6]}]
    assert (layer["parameters"], layer["multiply_adds"]) == (40, 36 * 36)
    assert "num_output: 4" in layer["settings"]
    assert "bottom" not in layer["settings"]
    # As in the file, though the data are found elsewhere.
    assert 'source: "data/images_lmdb"' in answer(client, "net/layer", layer="data")["settings"]


def test_a_net_without_its_data_is_drawn(client, root):
    run = write_run(root / "runs" / "elsewhere")
    (run / "train.prototxt").write_text(NET.replace("data/", "gone/"))
    net = answer(client, "net", run="runs/elsewhere")
    assert net["nodes"] == [["data"], ["conv", "relu"], ["ip"], ["loss"]]
    (note,) = net["notes"]
    assert "gone/images_lmdb: no such database" in note


def test_what_is_not_there_is_named(client):
    assert error(client, "net", net="no") == (
        *(404, "no net no in this run; it has train, test-0"),
    )
    status, message = error(client, "net/layer", layer="cnv")
    assert status == 404
    assert message.startswith("no layer cnv. Did you mean conv?")
    assert error(client, "weights/filters.png", layer="ip")[0] == 404
    assert error(client, "weights/filters.png", layer="conv", weights="../x.caffemodel")[0] == 404


def test_histograms_have_the_values_of_the_file(client, root):
    found = answer(client, "weights/histogram", layer="conv")
    (snapshot,) = found["snapshots"]
    assert found["has_filters"]
    (values,) = (
        one.blobs[0]
        for one in read_net_weights(root / "runs/small-1/last.caffemodel")
        if one.name == "conv"
    )
    weights, bias = snapshot["blobs"]
    assert weights["shape"] == [4, 1, 3, 3]
    assert sum(weights["counts"]) == values.size
    assert weights["low"] == pytest.approx(float(values.min()))
    assert weights["average"] == pytest.approx(float(values.mean(dtype=np.float64)))
    assert (bias["n_zero"], bias["n_not_finite"]) == (4, 0)


def test_filters_are_a_picture(client):
    response = client.get("/api/weights/filters.png", params={**RUN, "layer": "conv"})
    assert response.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(response.content)).width > 100


def test_large_snapshots_are_read_less_often():
    small = [{"bytes": 1000, "kind": "snapshot", "iteration": k} for k in range(100)]
    assert [one["iteration"] for one in chosen_snapshots(small)][::11] == [0, 99]
    assert len(chosen_snapshots(small)) == 12
    large = [{**one, "bytes": 500 << 20} for one in small]
    assert [one["iteration"] for one in chosen_snapshots(large)] == [0, 99]


def png(k):
    content = io.BytesIO()
    Image.fromarray(image(k)[0]).save(content, "PNG")
    return content.getvalue()


def tried(client, content, **query):
    files = {"image": ("a.png", content)}
    return client.post("/api/try", params={**RUN, **query}, files=files)


def test_an_image_is_classified(client, root):
    response = tried(client, png(4))
    assert response.status_code == 200, response.text
    found = response.json()
    assert (found["task"], found["size"]) == ("classify", [8, 8])
    assert [one["class"] for one in found["classes"]] != [str(k) for k in range(3)]
    assert {one["class"] for one in found["classes"]} == set(CLASSES)
    assert sum(one["score"] for one in found["classes"]) == pytest.approx(1, abs=1e-4)
    with closing(open_image_model(ModelFiles(str(root / RUN["run"])), get_backend())) as model:
        (expected,) = model.predict([model.prepare(png(4))])
    best = [(one["label"], pytest.approx(one["score"], abs=1e-5)) for one in found["classes"]]
    assert expected.best_classes(3) == best


def test_activations_are_those_of_the_image(client):
    first, second = (tried(client, png(k)).json() for k in (0, 2))
    assert {"name": "conv", "shape": [1, 4, 6, 6]} in first["blobs"]
    pictures = [
        client.get("/api/try/activation.png", params={"trial": one["trial"], "blob": "data"})
        for one in (first, second, first)
    ]
    assert {one.headers["content-type"] for one in pictures} == {"image/png"}
    assert pictures[0].content == pictures[2].content != pictures[1].content


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory):
    """Runs of nets that find objects and that give each pixel a class."""
    folder = tmp_path_factory.mktemp("nets")
    write_image_nets(folder)
    for name in ("objects", "pixels"):
        run = write_run(root / "runs" / name)
        (run / "train.prototxt").write_text((folder / f"{name}.prototxt").read_text())
        shutil.copy(folder / f"{name}.caffemodel", run / "last.caffemodel")


def test_objects_are_found(trained, client):
    found = tried(client, picture(), run="runs/objects").json()
    assert (found["task"], found["size"]) == ("detect", [40, 50])
    assert found["objects"]
    for one in found["objects"]:
        assert one["score"] >= 0.05
        assert len(one["box"]) == 4


def test_pixels_are_given_classes(trained, client):
    found = tried(client, picture(), run="runs/pixels").json()
    assert found["task"] == "segment"
    mask = Image.open(io.BytesIO(base64.b64decode(found["mask"])))
    assert mask.size == (50, 40)
    labels, counts = np.unique(np.asarray(mask), return_counts=True)
    listed = [(one["label"], one["pixels"]) for one in found["classes"]]
    assert listed == list(zip(labels.tolist(), counts.tolist(), strict=True))


def test_what_cannot_be_tried_is_refused(client):
    response = tried(client, b"no image")
    assert response.status_code == 400
    assert "a.png" in response.json()["error"]
    assert client.post("/api/try", params=RUN, files={"other": b"x"}).status_code == 400
    assert tried(client, png(0), weights="no.caffemodel").status_code == 404
    query = {"trial": 999, "blob": "conv"}
    forgotten = client.get("/api/try/activation.png", params=query)
    assert (forgotten.status_code, "forgotten" in forgotten.json()["error"]) == (400, True)


def test_the_model_is_closed_when_it_is_idle(client, root, monkeypatch):
    monkeypatch.setattr(trial, "_IDLE_S", 0.01)
    path = root / RUN["run"] / "last.caffemodel"
    net = read_net(root / "net.prototxt")
    room = trial.TrialRoom()
    room.try_image(trial.TrialWeights(path, 0, net), png(0), "a.png")
    end = time.monotonic() + 20
    while room._model is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert room._model is None
    room.try_image(trial.TrialWeights(path, 0, net), png(0), "a.png")  # opens it again


def test_nets_that_are_shown_are_not_logged(root):
    with served("board", root) as (board, url):
        with urllib.request.urlopen(f"{url}/api/net?run=runs/small-1", timeout=60) as response:
            assert response.status == 200
        board.terminate()
        assert board.communicate(timeout=60)[1] == ""
