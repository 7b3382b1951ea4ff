"""The interface of the board: the net of a run and its weights."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from small_run import write_small_run
from starlette.testclient import TestClient
from test_board_texts import STATIC

from minicaffe.pictures.graph_drawing import DARK
from minicaffe.schema import read_net_weights
from minicaffe.web.access import access_for
from minicaffe.web.application import web_application
from minicaffe.web.board.folder import BoardFolder
from minicaffe.web.board.inside.weight_routes import chosen_snapshots
from minicaffe.web.board.site import board_routes
from minicaffe.web.request_limits import RequestLimits

RUN = {"run": "runs/small-1"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    write_small_run(root)
    return root


@pytest.fixture(scope="module")
def client(root):
    """A client of a board of the folder."""
    routes = board_routes(BoardFolder(root))
    application = web_application(routes, access_for("127.0.0.1", None), RequestLimits())
    with TestClient(application, base_url="http://127.0.0.1") as client:
        yield client


def answer(client, path, /, **query):
    response = client.get(f"/api/{path}", params={**RUN, **query})
    assert response.status_code == 200, response.text
    return response.json()


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
