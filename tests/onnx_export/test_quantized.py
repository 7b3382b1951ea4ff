"""Nets in small numbers as ONNX: integers, grids, and values in onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from minicaffe.cli.main import run_command
from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.onnx_export.check import differences
from minicaffe.onnx_runtime import TOLERANCE
from minicaffe.schema import NetState, parse_net, read_net
from onnx_export.exporting import export_text, run, set_normal


def fixed_point(bits, layer_in, layer_out, params):
    return (
        f"quantization_param {{ bw_layer_in: {bits} fl_layer_in: {layer_in} bw_params: {bits} "
        f"fl_params: {params} bw_layer_out: {bits} fl_layer_out: {layer_out} }}"
    )


INPUT = (
    'layer { name: "data" type: "Input" top: "data" '
    "input_param { shape { dim: 3 dim: 1 dim: 13 dim: 11 } } }\n"
)


def conv(name, bottom, outputs, grids, more=""):
    return (
        f'layer {{ name: "{name}" type: "ConvolutionRistretto" bottom: "{bottom}" top: "{name}" '
        f"convolution_param {{ num_output: {outputs} kernel_size: 3 {more} }} {grids} }}\n"
    )


def lenet(first, second, third, bias="true"):
    """Two convolutions, pooling, ReLU in place and a fully connected layer."""
    return (
        INPUT
        + conv("conv1", "data", 5, first, f"bias_term: {bias}")
        + 'layer { name: "pool" type: "Pooling" bottom: "conv1" top: "pool" '
        "pooling_param { pool: MAX kernel_size: 2 stride: 2 } }\n"
        + conv("conv2", "pool", 7, second, f"bias_term: {bias}")
        + 'layer { name: "relu" type: "ReLU" bottom: "conv2" top: "conv2" }\n'
        + 'layer { name: "fc" type: "FcRistretto" bottom: "conv2" top: "fc" '
        f"inner_product_param {{ num_output: 3 bias_term: {bias} }} {third} }}\n"
    )


def simulated(text, inputs):
    net = Net(parse_net(text, "net.prototxt"), "TEST", seed=1)
    set_normal(net)
    for name, values in inputs.items():
        net.blobs[name].data.set(values)
    net.forward()
    return {blob.name: blob.data.get() for blob in net.outputs}


def images():
    return {"data": np.random.default_rng(0).standard_normal((3, 1, 13, 11)).astype(np.float32)}


def nodes_of(graph, *kinds):
    return [node.kind for node in graph.nodes if node.kind in kinds]


QDQ = ("QuantizeLinear", "DequantizeLinear", "Clip", "Round")
# Sums of products of numbers on these grids are exact in float32, in any order.
BITS = [
    # bits, opset, the operators that round one tensor
    (8, 11, ["QuantizeLinear", "DequantizeLinear"]),
    (8, 13, ["QuantizeLinear", "DequantizeLinear"]),
    (5, 13, ["Clip", "QuantizeLinear", "DequantizeLinear"]),
    (10, 13, ["Round", "Clip"]),
    (10, 21, ["Clip", "QuantizeLinear", "DequantizeLinear"]),
    (16, 21, ["QuantizeLinear", "DequantizeLinear"]),
]


@pytest.mark.parametrize("bias", ["true", "false"])
@pytest.mark.parametrize(("bits", "opset", "kinds"), BITS)
def test_fixed_point_gives_the_same_bits(bits, opset, kinds, bias, tmp_path):
    short = min(bits, 9)
    grids = [
        fixed_point(bits, short - 3, short - 4, short - 1),
        fixed_point(bits, short - 4, short - 4, short - 1),
        fixed_point(bits, short - 4, short - 5, short - 1),
    ]
    text = lenet(*grids, bias)
    _, graph = export_text(text, tmp_path / "x.onnx", set_normal, opset=opset)
    first = [node.kind for node in graph.nodes if node.layer == "conv1" and node.kind in QDQ]
    weights = ["DequantizeLinear"] if "QuantizeLinear" in kinds else []
    assert first == [*kinds, *weights, *kinds]
    want = simulated(text, images())["fc"]
    assert len(np.unique(want)) > 3
    np.testing.assert_array_equal(run(tmp_path / "x.onnx", images())["fc"], want)


def test_weights_are_integers_with_a_scale_for_each_output_channel(tmp_path):
    scales = [3.7, 11, 5, 20.3, 8]
    grids = f"quantization_param {{ bw_params: 4 scale_params: {scales} }}"
    text = INPUT + conv("conv", "data", 5, grids)
    export_text(text, tmp_path / "x.onnx", set_normal)
    graph = onnx.load(tmp_path / "x.onnx").graph
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    integers, steps = constants["conv/0"], constants["conv/0/step"]
    assert (integers.dtype, integers.shape, steps.shape) == (np.int8, (5, 1, 3, 3), (5,))
    assert set(np.unique(integers)) <= set(range(-7, 8))
    np.testing.assert_allclose(steps, 1 / np.array(scales), rtol=1e-6)
    assert constants["conv/1"].dtype == np.float32, "the bias stays in floats"
    (node,) = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    assert [a.i for a in node.attribute if a.name == "axis"] == [0]
    want = simulated(text, images())["conv"]
    np.testing.assert_allclose(
        run(tmp_path / "x.onnx", images())["conv"], want, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "grids",
    [
        "quantization_param { bw_params: 6 fl_params: 5 }",
        "quantization_param { bw_params: 12 fl_params: 11 }",
        "quantization_param { precision: INTEGER_POWER_OF_2_WEIGHTS }",
    ],
)
def test_folding_leaves_the_weights_on_the_grid(grids, tmp_path):
    norms = (
        'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }\n'
        'layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" }\n'
    )
    text = INPUT + conv("conv", "data", 5, grids) + norms
    _, graph = export_text(text, tmp_path / "x.onnx", set_normal)
    assert nodes_of(graph, "Conv", "BatchNormalization", "Mul") == [
        "Conv",
        "BatchNormalization",
        "Mul",
    ]
    want = simulated(text, images())["conv"]
    np.testing.assert_allclose(
        run(tmp_path / "x.onnx", images())["conv"], want, rtol=1e-4, atol=1e-5
    )


def test_powers_of_two_are_constants(tmp_path):
    grids = "quantization_param { precision: INTEGER_POWER_OF_2_WEIGHTS }"
    text = INPUT + conv("conv", "data", 5, grids)
    _, graph = export_text(text, tmp_path / "x.onnx", set_normal)
    exponents = np.log2(np.abs(graph.constants["conv/0"]))
    np.testing.assert_array_equal(exponents, np.rint(exponents))
    assert nodes_of(graph, *QDQ) == []


@pytest.mark.parametrize("grids", ["bw_params: 4 fl_params: 3", "bw_params: 4 scale_params: 9"])
def test_transposed_weights(grids, tmp_path):
    """Without a change of their order, onnxruntime rounds the activations too."""
    text = INPUT + (
        'layer { name: "fc" type: "FcRistretto" bottom: "data" top: "fc" inner_product_param '
        f"{{ num_output: 3 transpose: true }} quantization_param {{ {grids} }} }}\n"
    )
    export_text(text, tmp_path / "x.onnx", set_normal)
    want = simulated(text, images())["fc"]
    np.testing.assert_allclose(run(tmp_path / "x.onnx", images())["fc"], want, rtol=1e-4, atol=1e-5)


def test_any_number_of_samples(tmp_path):
    text = lenet(*[fixed_point(8, 5, 4, 6)] * 3)
    export_text(text, tmp_path / "x.onnx", set_normal, batch=0)
    one = {"data": images()["data"][1:2]}
    want = simulated(text, images())["fc"][1:2]
    np.testing.assert_array_equal(run(tmp_path / "x.onnx", one)["fc"], want)


@pytest.mark.parametrize(
    ("grids", "reason"),
    [
        (
            "precision: MINIFLOAT mant_bits: 3",
            "no operator rounds bottoms and tops as precision: MINIFLOAT does",
        ),
        (
            "bw_params: 4 fl_params: 3 rounding_scheme: STOCHASTIC",
            "rounding_scheme: STOCHASTIC has no form in ONNX; set NEAREST",
        ),
    ],
)
def test_what_is_refused(grids, reason, tmp_path):
    text = INPUT + conv("conv", "data", 5, f"quantization_param {{ {grids} }}")
    message = rf'net\.prototxt:2, layer "conv" \(ConvolutionRistretto\): cannot be .*: {reason}'
    with pytest.raises(NetError, match=message):
        export_text(text, tmp_path / "x.onnx", set_normal)


def test_a_neighbour_on_the_grid_is_counted_and_no_difference(tmp_path, caplog_minicaffe):
    """The file has one bias more than the net: a step in one channel, then two steps."""
    text = lenet(*[fixed_point(8, 5, 4, 6)] * 3)
    source, graph = export_text(text, tmp_path / "x.onnx", set_normal)
    found = differences(tmp_path / "x.onnx", source, graph, set_normal)
    assert "fc" in found
    assert not any(found.values())
    assert graph.coarsest_step == 1 / 16
    for steps, is_near in ((1, True), (2, False)):

        def fill(net, steps=steps):
            set_normal(net)
            blob = net.layers[-1].blobs[1]
            blob.data.set(blob.data.get() + np.array([steps / 16, 0, 0]))

        found = differences(tmp_path / "x.onnx", source, graph, fill)
        assert (found["fc"] <= TOLERANCE) == is_near
        line = "fc: 3 of 9 values differ by up to one step of a grid, 0.0625"
        assert (line in caplog_minicaffe.messages) == is_near
        caplog_minicaffe.clear()


def test_the_command_checks(tmp_path, capfd):
    prototxt, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(lenet(*[fixed_point(8, 5, 4, 6)] * 3))
    net = Net(read_net(prototxt), NetState(phase="TEST"), seed=1)
    set_normal(net)
    save_net(net, weights)
    assert run_command("export", ["onnx", str(prototxt), str(weights), "--check"]) == 0
    assert "fc: largest difference 0\n" in capfd.readouterr().err
