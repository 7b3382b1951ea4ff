"""fuse: outputs stay the same, and the layers that must stay do."""

import re
from pathlib import Path

import numpy as np
import pytest

from minicaffe.cli.main import run_command
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers, save_net

MODELS = Path(__file__).parents[2] / "models"
INPUT = """input: "data" input_shape { dim: 2 dim: 6 dim: 9 dim: 7 }
"""
CONV = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 10 kernel_size: 3 group: 2 bias_term: %s } }
"""
BN = 'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "%s" }\n'
SCALE = """layer { name: "scale" type: "Scale" bottom: "%s" top: "%s"
  scale_param { bias_term: true } }
"""
RELU = 'layer { name: "relu" type: "ReLU" bottom: "%s" top: "%s" }\n'


def built(text_or_path):
    net = Net(text_or_path, "TEST", seed=4)
    rng = np.random.default_rng(8)
    for layer in net.layers:
        for blob in layer.blobs:
            # Positive: variances are among them.
            blob.data.set(rng.uniform(0.1, 1.2, blob.shape).astype(np.float32))
    return net


def outputs(net):
    rng = np.random.default_rng(1)
    for blob in net.inputs:
        blob.data.set(rng.standard_normal(blob.shape).astype(np.float32))
    net.forward()
    return {blob.name: blob.data.get().copy() for blob in net.outputs}


@pytest.fixture
def fuse(tmp_path, monkeypatch, capsys):
    """A function that fuses a net, checks the outputs and returns the new net and what it said."""
    monkeypatch.chdir(tmp_path)

    def fuse_and_compare(text, weights="old.caffemodel"):
        Path("old.prototxt").write_text(text)
        old = built("old.prototxt")
        save_net(old, weights)
        files = ["old.prototxt", weights, "-o", "new.prototxt", "new.caffemodel"]
        assert run_command("fuse", files) == 0
        new = Net("new.prototxt", "TEST", seed=5)
        copy_trained_layers(new, "new.caffemodel")
        found, expected = outputs(new), outputs(old)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            scale = np.abs(values).max()
            np.testing.assert_allclose(found[name] / scale, values / scale, atol=1e-5)
        return [layer.name for layer in new.layers], capsys.readouterr().out

    return fuse_and_compare


@pytest.mark.parametrize("bias", ["true", "false"])
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("weights", ["old.caffemodel", "old.h5"])
def test_batch_norm_and_scale(fuse, bias, in_place, weights):
    bn, scale = ("conv", "conv") if in_place else ("bn", "scale")
    text = INPUT + CONV % bias + BN % bn + SCALE % (bn, scale) + RELU % (scale, scale)
    names, said = fuse(text, weights)
    assert names == ["input", "conv", "relu"] or names[1:] == ["conv", "relu"]
    assert said == "conv <- bn, scale\n"


@pytest.mark.parametrize(
    "product",
    [
        "type: 'Deconvolution' convolution_param { num_output: 10 kernel_size: 3 stride: 2 }",
        "type: 'Deconvolution' convolution_param { num_output: 10 kernel_size: 2 group: 2 }",
        "type: 'InnerProduct' inner_product_param { num_output: 10 }",
        "type: 'InnerProduct' inner_product_param { num_output: 10 transpose: true }",
        "type: 'DepthwiseConvolution' convolution_param { num_output: 12 kernel_size: 3 }",
        "type: 'Convolution' param { name: 'w' } convolution_param { num_output: 2 kernel_size: 1}",
    ],
)
@pytest.mark.parametrize(
    "affine",
    [
        "type: 'BatchNorm' batch_norm_param { eps: 0.01 }",
        "type: 'Scale'",
        "type: 'Bias'",
        "type: 'Scale' scale_param { num_axes: 0 bias_term: true }",
        "type: 'Scale' param { name: 'unshared' }",
        "type: 'Power' power_param { scale: 1.5 shift: -0.25 }",
        "type: 'BatchNorm' batch_norm_param { scale_bias: true eps: 1e-7 }",
        "type: 'BatchNorm' batch_norm_param { use_weight_bias: true }",
    ],
)
def test_types(fuse, product, affine):
    layers = f"layer {{ name: 'conv' {product} bottom: 'data' top: 'x' }}"
    layers += f"layer {{ name: 'bn' {affine} bottom: 'x' top: 'y' }}"
    names, said = fuse(INPUT + layers)
    assert "bn" not in names
    assert said == "conv <- bn\n"


@pytest.mark.parametrize(
    "settings",
    [
        "bn_param { bn_mode: INFERENCE }",
        "bn_param { eps: 0.01 frozen: true }",
        "bn_param { fourth_blob: INVERSE_DEVIATION }",
    ],
)
def test_layers_of_forks(fuse, settings):
    bn = f"layer {{ name: 'bn' type: 'BN' bottom: 'conv' top: 'conv' {settings} }}"
    assert fuse(INPUT + CONV % "true" + bn)[1] == "conv <- bn\n"


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            BN % "bn" + SCALE % ("bn", "s") + RELU % ("bn", "r"),
            "conv <- bn\nkept scale: it is not the only layer that reads a product\n",
        ),
        (
            BN % "bn" + "layer { name: 's' type: 'Scale' bottom: 'bn' top: 'bn' "
            "scale_param { axis: 2 } }",
            "conv <- bn\nkept s: axis: 2 and num_axes: 1 are not those of the channels\n",
        ),
        (
            BN % "bn" + "layer { name: 's' type: 'Scale' bottom: 'bn' top: 'bn' "
            "param { name: 'w' } } layer { name: 't' type: 'Scale' bottom: 'bn' top: 'y' "
            "param { name: 'w' } }",
            'conv <- bn\nkept s: "s" shares parameters by name\n'
            "kept t: it is not the only layer that reads a product\n",
        ),
        (
            SCALE % ("conv", "conv") + "layer { name: 'b' type: 'BatchNorm' bottom: 'conv' "
            "top: 'conv' batch_norm_param { use_global_stats: false } }",
            "conv <- scale\nkept b: use_global_stats: false takes the statistics of the batch\n",
        ),
    ],
)
def test_layers_that_stay(fuse, layers, said):
    assert fuse(INPUT + CONV % "false" + layers)[1] == said


@pytest.mark.parametrize("kind", ["Convolution3D", "Deconvolution3D"])
@pytest.mark.parametrize("bias", ["true", "false"])
def test_volumes(fuse, kind, bias):
    text = f"""input: "data" input_shape {{ dim: 2 dim: 6 dim: 3 dim: 9 dim: 7 }}
    layer {{ name: "conv" type: "{kind}" bottom: "data" top: "conv" convolution3d_param {{
      num_output: 4 kernel_size: 3 kernel_depth: 2 bias_term: {bias} }} }}"""
    assert fuse(text + BN % "bn")[1] == "conv <- bn\n"


def test_the_scale_of_normalised_vectors_stays(fuse):
    layer = """layer { name: "%s" type: "InnerProduct" bottom: "data" top: "%s"
    inner_product_param { num_output: 4 %s } }
    layer { name: "scale_%s" type: "Scale" bottom: "%s" top: "scale_%s" }"""
    text = layer % ("a", "a", "", *"aaa") + layer % ("b", "b", "normalize: true", *"bbb")
    reason = "normalize: true of the layer before it changes the weights"
    assert fuse(INPUT + text)[1] == f"a <- scale_a\nkept scale_b: {reason}\n"


def test_resnet(fuse):
    names, said = fuse((MODELS / "resnet18" / "deploy.prototxt").read_text())
    assert "kept" not in said
    assert not [name for name in names if name.startswith(("bn", "scale"))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (INPUT + RELU % ("data", "r"), "old.prototxt: nothing to fold: no BatchNorm"),
        (
            INPUT + RELU % ("data", "r") + "layer { name: 'd' type: 'Dropout' bottom: 'r' "
            "top: 'r' include { phase: TRAIN } }",
            r'old.prototxt:3, layer "d" \(Dropout\): is not part of the net in phase TEST. Folded',
        ),
        ("state { phase: TRAIN }" + INPUT, "old.prototxt: state has phase: TRAIN. Folded"),
        (
            INPUT + CONV % "true" + BN % "conv" + "name: 'no weights'",
            r'the weights have nothing for layer "bn" \(BatchNorm\)',
        ),
    ],
)
def test_errors(tmp_path, monkeypatch, caplog_minicaffe, text, message):
    monkeypatch.chdir(tmp_path)
    Path("old.prototxt").write_text(text)
    Path("other.prototxt").write_text(INPUT + CONV % "true")
    save_net(Net("other.prototxt", "TEST", seed=1), "w.caffemodel")
    caplog_minicaffe.clear()
    files = ["old.prototxt", "w.caffemodel", "-o", "new.prototxt", "new.caffemodel"]
    assert run_command("fuse", files) == 1
    assert re.search(message, caplog_minicaffe.messages[-1])
    assert not Path("new.prototxt").exists()
