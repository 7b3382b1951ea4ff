"""The export as a whole: training nets, names, free batches, folding, errors, the command."""

import subprocess
import sys

import numpy as np
import onnx
import pytest

import caffe
from minicaffe.cli.main import run_command
from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.onnx_export import ExportSettings, export_net
from minicaffe.onnx_export.check import differences
from minicaffe.onnx_runtime import TOLERANCE
from minicaffe.schema import read_net
from onnx_export.exporting import export_text, run, set_normal
from zoo import NAMES, deploy_file, training_file

INPUT = (
    'layer { name: "data" type: "Input" top: "data" '
    "input_param { shape { dim: 2 dim: 3 dim: 7 dim: 9 } } }\n"
)
CONV = (
    'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" '
    "convolution_param { num_output: 4 kernel_size: 3 bias_term: false } }\n"
)
NORMS = (
    'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }\n'
    'layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" '
    "scale_param { bias_term: true } }\n"
    'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }\n'
)
LARGE = {"alexnet", "caffenet", "vgg16", "vgg19", "resnet50", "googlenet", "resnet18"}
DEPLOYED = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in NAMES]


@pytest.mark.parametrize("name", DEPLOYED)
def test_models_agree_with_onnxruntime(name, tmp_path):
    path = tmp_path / "net.onnx"
    net, graph = export_net(read_net(deploy_file(name)), set_normal, path, ExportSettings(batch=1))
    found = differences(path, net, graph, set_normal)
    assert found
    assert max(found.values()) <= TOLERANCE


def test_a_training_net_gets_inputs_and_probabilities(tmp_path):
    settings = ExportSettings(image=(1, 28, 28))
    _, graph = export_net(
        read_net(training_file("lenet")), set_normal, tmp_path / "x.onnx", settings
    )
    assert graph.inputs == {"data": (100, 1, 28, 28)}
    assert list(graph.outputs) == ["prob"]


# Two classifiers, of which the second is the main one, and sums of their losses.
TWO_LOSSES = """
layer { name: "loss1" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss1" }
layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss2" }
layer { name: "sum" type: "Eltwise" bottom: "loss1" bottom: "loss2" top: "sum" }
layer { name: "half" type: "Power" bottom: "sum" top: "half" power_param { scale: 0.5 } }
"""
SCORES = """
layer { name: "data" type: "DummyData" top: "data" top: "label" include { phase: TRAIN }
  dummy_data_param { shape { dim: 2 dim: 6 } shape { dim: 2 } data_filler { type: "gaussian" } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" } } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip" top: "ip2"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" } } }
"""


def test_the_last_of_several_losses_is_called_prob(tmp_path, caplog_minicaffe):
    _, graph = export_text(SCORES + TWO_LOSSES, tmp_path / "x", set_normal)
    assert graph.outputs == {"loss1/prob": (2, 5), "prob": (2, 3)}
    said = "\n".join(caplog_minicaffe.messages)
    assert 'layer "data" (DummyData) of the phase TRAIN gives the input' in said
    assert 'layer "loss1" (SoftmaxWithLoss) becomes Softmax, top "loss1/prob"' in said
    assert 'layer "sum" (Eltwise) is left out, because it reads "loss1"' in said
    assert 'layer "half" (Power) is left out, because it reads "sum"' in said


def test_probabilities_that_the_net_has_are_not_repeated(tmp_path):
    own = 'layer { name: "p" type: "Softmax" bottom: "ip2" top: "prob" }'
    _, graph = export_text(SCORES + own + TWO_LOSSES, tmp_path / "x", set_normal)
    assert graph.outputs == {"loss1/prob": (2, 5), "prob": (2, 3)}


def test_the_size_of_images_must_be_known(tmp_path):
    with pytest.raises(NetError, match=r'layer "mnist".*--input_shape=C,H,W'):
        export_net(read_net(training_file("lenet")), set_normal, tmp_path / "x", ExportSettings())


def test_blobs_keep_their_names_and_parameters_are_no_inputs(tmp_path):
    path = tmp_path / "net.onnx"
    export_text(INPUT + CONV + NORMS, path, set_normal, folds=False)
    graph = onnx.load(path).graph
    assert [one.name for one in graph.input] == ["data"]
    assert [one.name for one in graph.output] == ["conv"]
    assert "conv/0" in {one.name for one in graph.initializer}
    assert [node.op_type for node in graph.node] == [
        "Conv",
        "BatchNormalization",
        "Mul",
        "Add",
        "Relu",
    ]


def test_normalisations_are_folded(tmp_path):
    images = {"data": np.random.default_rng(0).standard_normal((2, 3, 7, 9)).astype(np.float32)}
    results = []
    for folds in (False, True):
        path = tmp_path / f"{folds}.onnx"
        _, graph = export_text(INPUT + CONV + NORMS, path, set_normal, folds=folds)
        results.append(run(path, images)["conv"])
    assert [node.kind for node in graph.nodes] == ["Conv", "Relu"]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("pad", "kinds"), [(0, ["AveragePool"]), (1, ["Pad", "AveragePool"])])
def test_averages_do_not_count_pads_in_ceil_mode(pad, kinds, tmp_path):
    pool = (
        'layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" '
        f"pooling_param {{ pool: AVE kernel_size: 4 stride: 2 pad: {pad} }} }}"
    )
    _, graph = export_text(INPUT + pool, tmp_path / "x")
    assert [node.kind for node in graph.nodes] == kinds
    assert graph.nodes[-1].attributes["ceil_mode"] == 1
    assert not graph.nodes[-1].attributes.get("count_include_pad")


def test_flipping_no_axis_is_no_slice(tmp_path):
    flip = 'layer { name: "f" type: "Flip" bottom: "data" top: "f" flip_param { %s } }'
    settings = "flip_width: false flip_height: false"
    _, graph = export_text(INPUT + flip % settings, tmp_path / "x")
    assert [node.kind for node in graph.nodes] == ["Identity"]


def test_a_layer_in_place_on_the_input(tmp_path):
    relu = 'layer { name: "relu" type: "ReLU" bottom: "data" top: "data" }\n'
    path = tmp_path / "net.onnx"
    export_text(INPUT + relu + CONV, path)
    found = run(path, {"data": -np.ones((2, 3, 7, 9), np.float32)})["conv"]
    np.testing.assert_array_equal(found, np.zeros((2, 4, 5, 7), np.float32))
    with pytest.raises(NetError, match='blob "data" is an input and, changed in place, an output'):
        export_text(INPUT + relu, path)


def test_shared_parameters_are_one_initializer(tmp_path):
    layer = (
        'layer {{ name: "{0}" type: "InnerProduct" bottom: "data" top: "{0}" param {{ name: "w" }} '
        "inner_product_param {{ num_output: 5 bias_term: false }} }}\n"
    )
    _, graph = export_text(
        INPUT + layer.format("a") + layer.format("b"), tmp_path / "x", set_normal
    )
    assert [array.shape for array in graph.constants.values()] == [(5, 189)]


def test_any_batch(tmp_path):
    pool = (
        'layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" '
        "inner_product_param { num_output: 5 } }"
    )
    path = tmp_path / "net.onnx"
    export_text(INPUT + CONV + pool, path, set_normal, batch=0)
    for n in (1, 4):
        assert run(path, {"data": np.zeros((n, 3, 7, 9), np.float32)})["ip"].shape == (n, 5)


def test_a_layer_that_fixes_the_batch_is_named(tmp_path):
    tile = (
        'layer { name: "r" type: "Reshape" bottom: "data" top: "r" '
        "reshape_param { shape { dim: 3 dim: -1 dim: 1 } } }\n"
    )
    text = (
        INPUT
        + tile
        + 'layer { name: "b" type: "Bias" bottom: "r" top: "y" bias_param { axis: 1 } }'
    )
    with pytest.raises(NetError, match=r'layer "b" \(Bias\): --batch dynamic is not possible'):
        export_text(text, tmp_path / "x", set_normal, batch=0)


def test_an_unsupported_layer_is_refused(tmp_path):
    text = (
        'layer { name: "in" type: "Input" top: "loc" top: "conf" top: "prior" input_param { '
        "shape { dim: 1 dim: 20 } shape { dim: 1 dim: 10 } shape { dim: 1 dim: 2 dim: 20 } } }\n"
        'layer { name: "none" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" '
        'top: "y" detection_output_param { num_classes: 2 keep_top_k: 0 } }'
    )
    message = (
        r'net\.prototxt:2, layer "none" \(DetectionOutput\): cannot be exported to ONNX: '
        "by its settings it keeps no detection"
    )
    with pytest.raises(NetError, match=message):
        export_text(text, tmp_path / "x")


def test_an_unknown_opset(tmp_path):
    with pytest.raises(NetError, match="opset 10 must be 11 to 22"):
        export_text(INPUT + CONV, tmp_path / "x", opset=10)


def test_pycaffe(tmp_path):
    prototxt, path = tmp_path / "net.prototxt", tmp_path / "net.onnx"
    prototxt.write_text(INPUT + CONV)
    net = caffe.Net(str(prototxt), caffe.TEST)
    net.blobs["data"].reshape(1, 3, 8, 8)
    net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal((1, 3, 8, 8))
    net.params["conv"][0].data[...] = 0.5
    net.to_onnx(path)
    expected = net.forward()["conv"]
    found = run(path, {"data": np.array(net.blobs["data"].data)})["conv"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_command_exports_and_checks(tmp_path, capfd):
    prototxt, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(INPUT + CONV)
    net = Net(read_net(prototxt), "TEST", seed=1)
    set_normal(net)
    save_net(net, weights)
    assert run_command("export", ["onnx", str(prototxt), str(weights), "--check"]) == 0
    assert "conv: largest difference" in capfd.readouterr().err
    onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"))


def test_the_command_names_what_differs(tmp_path, capfd, monkeypatch):
    prototxt, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(INPUT + CONV)
    save_net(Net(read_net(prototxt), "TEST", seed=1), weights)
    found = {'bottom "x" of layer "l"': 2e-7, 'bottom "z" of layer "m"': 0.5, "conv": 0.25}
    monkeypatch.setattr("minicaffe.onnx_export.check.differences", lambda *given: found)
    assert run_command("export", ["onnx", str(prototxt), str(weights), "--check"]) == 1
    errors = capfd.readouterr().err
    assert (
        "bottoms of layers that jump or magnify differences (2): largest difference 0.5" in errors
    )
    assert (
        'differences of more than 0.0001 of the values: bottom "z" of layer "m", output "conv"'
        in errors
    )


def test_import_does_not_load_onnx():
    code = "import caffe, minicaffe, minicaffe.net, sys; assert 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
