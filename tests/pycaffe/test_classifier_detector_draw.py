"""caffe.Classifier, caffe.Detector and caffe.draw."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from PIL import Image

import caffe

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 4 dim: 3 dim: 6 dim: 6 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {
  num_output: 5 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
PREPROCESSING = dict(mean=np.array([10, 20, 30.0]), raw_scale=255, channel_swap=(2, 1, 0))


@pytest.fixture
def files(write, tmp_path):
    path, weights = write(NET), str(tmp_path / "w.caffemodel")
    caffe.set_random_seed(1)
    caffe.Net(path, caffe.TEST).save(weights)
    return path, weights


def images(n, rows=9, columns=11):
    return list(np.random.default_rng(0).random((n, rows, columns, 3), np.float32))


def scores(net, crops):
    """Compute the scores of crops one by one, without the classes under test."""
    plain = caffe.Net(*net[:1], caffe.TEST, weights=net[1])
    plain.blobs["data"].reshape(1, 3, 6, 6)
    found = []
    for crop in crops:
        values = crop.transpose(2, 0, 1)[::-1] * 255 - np.array([10, 20, 30])[:, None, None]
        found.append(plain.forward(data=values[None])["prob"][0].copy())
    return np.array(found)


def test_classifier_uses_the_centre_crop(files):
    classifier = caffe.Classifier(*files, image_dims=(8, 10), **PREPROCESSING)
    assert isinstance(classifier, caffe.Net)
    inputs = images(5)
    got = classifier.predict(inputs, oversample=False)
    centres = [caffe.io.resize_image(x, (8, 10))[1:7, 2:8] for x in inputs]
    np.testing.assert_allclose(got, scores(files, centres), rtol=1e-3)


def test_classifier_averages_over_ten_crops(files):
    classifier = caffe.Classifier(*files, image_dims=(8, 10), **PREPROCESSING)
    inputs = images(3)
    got = classifier.predict(inputs)
    assert got.shape == (3, 5)
    crops = caffe.io.oversample([caffe.io.resize_image(x, (8, 10)) for x in inputs], (6, 6))
    want = scores(files, crops).reshape(3, 10, 5).mean(1)
    np.testing.assert_allclose(got, want, rtol=1e-3)


def test_classifier_of_images_of_different_sizes(files):
    inputs = [images(1, 6, 6)[0], images(1, 20, 30)[0]]
    assert caffe.Classifier(*files, input_scale=2).predict(inputs, False).shape == (2, 5)


@pytest.fixture
def photo(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png"), (values / 255).astype(np.float32)


def test_detect_windows(files, photo):
    path, image = photo
    windows = [(2, 3, 20, 30), (0, 0, 6, 6), (10, 10, 30, 40)]
    found = caffe.Detector(*files, **PREPROCESSING).detect_windows([(path, windows)])
    assert [one["window"] for one in found] == windows
    assert {one["filename"] for one in found} == {path}
    crops = [caffe.io.resize_image(image[a:c, b:d], (6, 6)) for a, b, c, d in windows]
    got = np.array([one["prediction"] for one in found])
    np.testing.assert_allclose(got, scores(files, crops), rtol=1e-3)
    assert caffe.Detector(*files).detect_windows([]) == []


def test_context_inside_the_image(files, photo):
    _, image = photo
    detector = caffe.Detector(*files, context_pad=1, **PREPROCESSING)
    # 8 rows grow by half of them: 6 pixels, of which one is context on each side.
    crop = detector.crop(image, (10, 12, 17, 19))
    np.testing.assert_allclose(crop, caffe.io.resize_image(image[8:20, 10:22], (6, 6)), rtol=1e-5)


def test_context_outside_the_image_is_the_mean(files, photo):
    _, image = photo
    detector = caffe.Detector(*files, context_pad=1, **PREPROCESSING)
    crop = detector.crop(image, (0, 0, 7, 7))
    mean = np.array([30, 20, 10]) / 255
    np.testing.assert_allclose(crop[0], np.broadcast_to(mean, (6, 3)), rtol=1e-6)
    np.testing.assert_allclose(crop[:, 0], np.broadcast_to(mean, (6, 3)), rtol=1e-6)
    assert (crop[1:, 1:] != mean.astype(np.float32)).any(axis=-1).all()
    prepared = detector.transformer.preprocess("data", crop)
    np.testing.assert_allclose(prepared[:, 0], 0, atol=1e-4)


@pytest.mark.parametrize("pad", [None, 1])
def test_windows_without_a_pixel(files, photo, pad):
    detector = caffe.Detector(*files, context_pad=pad, **PREPROCESSING)
    with pytest.raises(RuntimeError, match=r"window \[100.*image of 30 x 40"):
        detector.crop(photo[1], (100, 100, 110, 110))


@pytest.mark.parametrize("pad", [None, 1])
def test_nets_of_one_channel_get_greyscale_windows(write, tmp_path, photo, pad):
    path, weights = write(NET.replace("dim: 3", "dim: 1")), str(tmp_path / "grey.caffemodel")
    caffe.Net(path, caffe.TEST).save(weights)
    detector = caffe.Detector(path, weights, context_pad=pad)
    name, image = photo
    (found,) = detector.detect_windows([(name, [(3, 4, 20, 30)])])
    grey = caffe.io.load_image(name, color=False)
    assert grey.shape == (*image.shape[:2], 1)
    crop = caffe.io.resize_image(detector.crop(grey, (3, 4, 20, 30)), (6, 6))
    detector.blobs["data"].data[0] = detector.transformer.preprocess("data", crop)
    np.testing.assert_allclose(found["prediction"], detector.forward()["prob"][0], rtol=1e-5)


def test_context_leaves_room_for_the_window(files):
    caffe.Detector(*files, context_pad=2)
    with pytest.raises(RuntimeError, match=r'context_pad: 3 .* "data", 6 x 6; .* at most 2$'):
        caffe.Detector(*files, context_pad=3)


def test_selective_search_is_refused(files):
    with pytest.raises(RuntimeError, match="not available here; find windows with another one"):
        caffe.Detector(*files).detect_selective_search(["a.png"])


DRAWN = """
name: "drawn"
layer { name: "data" type: "Input" top: "data" include { phase: TRAIN } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 3 }
  convolution_param { num_output: 7 kernel_h: 3 kernel_w: 5 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 } }
layer { name: "acc" type: "Accuracy" bottom: "pool" top: "acc" exclude { phase: TRAIN } }
"""


@pytest.fixture
def drawn():
    return text_format.Parse(DRAWN, caffe_pb2.NetParameter())


class FakeDot:
    def __init__(self, name, **settings):
        self.name, self.settings = name, settings
        self.nodes, self.edges = {}, []

    def add_node(self, node):
        self.nodes[node.args[0]] = node.settings

    def add_edge(self, edge):
        self.edges.append((*edge.args, edge.settings.get("label", "")))

    def create(self, format):
        return format.encode()


@pytest.fixture
def pydot(monkeypatch):
    """Fake of the part of pydot that is used; Graphviz draws the graph."""
    fake = ModuleType("pydot")
    fake.Dot = FakeDot
    fake.Node = fake.Edge = lambda *args, **settings: SimpleNamespace(args=args, settings=settings)
    monkeypatch.setitem(sys.modules, "pydot", fake)


def test_graph(drawn, pydot):
    graph = caffe.draw.get_pydot_graph(drawn, "TB", phase=caffe.TRAIN, display_lrm=True)
    assert (graph.name, graph.settings["rankdir"]) == ("drawn", "TB")
    assert "acc_Accuracy" not in graph.nodes
    label = graph.nodes["conv_Convolution"]["label"]
    assert label == "conv (Convolution) kernel_size: 3x5 stride: 1 pad: 1 lr_mult: 3"
    label = graph.nodes["pool_Pooling"]["label"]
    assert label == "pool (Pooling) kernel_size: 2 stride: 1 pad: 0"
    assert ("conv_Convolution", "conv_blob", "7") in graph.edges
    assert ("conv_blob", "relu_ReLU", "") in graph.edges
    fill = graph.nodes["relu_ReLU"]["fillcolor"], graph.nodes["pool_Pooling"]["fillcolor"]
    assert fill[0] != fill[1]


def test_draw_to_file_without_graphviz(drawn, tmp_path):
    before = drawn.SerializeToString()
    caffe.draw.draw_net_to_file(drawn, str(tmp_path / "a.svg"), "TB", caffe.TRAIN, True)
    text = (tmp_path / "a.svg").read_text()
    assert ">lr_mult 3<" in text
    assert ">relu: ReLU<" in text
    assert ">acc<" not in text
    assert ">acc<" in caffe.draw.draw_net(drawn, "LR", "svg").decode()
    assert caffe.draw.draw_net(drawn, "LR").startswith(b"\x89PNG")
    assert drawn.SerializeToString() == before


def test_pydot_writes_other_formats(drawn, pydot, tmp_path):
    caffe.draw.draw_net_to_file(drawn, str(tmp_path / "a.dot"))
    assert (tmp_path / "a.dot").read_bytes() == b"dot"
    assert "\\n" in caffe.draw.get_layer_label(drawn.layer[1], "LR")


def test_other_formats_without_pydot(drawn, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydot", None)
    with pytest.raises(RuntimeError, match=r"needs pydot and Graphviz.*pip install pydot"):
        caffe.draw.draw_net(drawn, "LR", "pdf")
