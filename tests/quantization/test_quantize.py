"""minicaffe quantize on a trained net: scores, search, files, and what is refused."""

from __future__ import annotations

import json
import re
import struct
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from minicaffe.cli.main import run_command
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers, save_net
from minicaffe.onnx_runtime import run_onnx
from minicaffe.schema import NetParameter, read_net, read_net_weights, read_prototxt

MODEL = ["--model=net.prototxt", "--weights=net_iter_200.caffemodel"]
BATCHES = 8  # of 50: the whole test set


@pytest.fixture
def quantize(project, capsys):
    """Run the command on the small net and return the lines that it prints."""

    def run(*flags: str) -> list[str]:
        arguments = [*MODEL, f"--iterations={BATCHES}", *flags]
        assert run_command("quantize", arguments) == 0, capsys.readouterr().err
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def accuracy(project, capsys):
    """Return the accuracy that `minicaffe test` prints."""

    def score(model: str, weights: str) -> float:
        capsys.readouterr()
        arguments = [f"--model={model}", f"--weights={weights}", f"--iterations={BATCHES}"]
        assert run_command("test", arguments) == 0
        return float(re.findall(r"\] accuracy = (\S+)$", capsys.readouterr().err, re.M)[-1])

    return score


def uniform_rows(lines: list[str]) -> dict[str, list[str]]:
    """Return the cells of the first table by bits."""
    rows = [line.split() for line in lines[2 : lines.index("")]]
    return {bits: cells for bits, *cells in rows}


@pytest.mark.parametrize(
    "flags",
    [
        ["--per=layer"],
        ["--per=channel"],
        ["--per=layer", "--scales=power_of_two"],
        ["--scales=max", "--activations=max"],
        ["--per=layer", "--activations=percentile"],
        ["--activations=kl", "--calibration_iterations=3"],
    ],
    ids=" ".join,
)
def test_the_net_that_is_written_has_the_score_that_is_printed(quantize, accuracy, flags):
    lines = quantize(*flags, "--output=q", "--error_margin=3")
    floats = accuracy("net.prototxt", "net_iter_200.caffemodel")
    rows = uniform_rows(lines)
    assert list(rows) == ["floats", "8", "6", "4", "3", "2"]
    assert float(rows["floats"][0]) == pytest.approx(floats, abs=1e-4)
    assert float(rows["8"][0]) == pytest.approx(floats, abs=0.01)
    printed, _, n_bytes = re.match(
        r"accuracy = (\S+) \((\S+) in floats\), ([\d,]+) bytes", lines[-1]
    ).groups()
    assert accuracy("q.prototxt", "q.caffemodel") == pytest.approx(float(printed), abs=1e-4)
    assert floats - float(printed) <= 0.03 + 1e-4
    assert int(n_bytes.replace(",", "")) <= int(rows["8"][-1].replace(",", ""))
    assert all(len(line) <= 80 for line in lines)


def test_bits_of_all_layers_and_of_each(quantize):
    lines = quantize("--per=layer", "--bits=8,2")
    rows = uniform_rows(lines)
    weights = 9 * 25 + 31 * 9 * 36 + 10 * 31
    biases = 9 + 31 + 10
    assert rows["floats"][1] == f"{4 * (weights + biases):,}"
    # Of one scale for each of three layers.
    expected = {
        b: (9 * 25 * b + 7) // 8 + 31 * 9 * 36 * b // 8 + (310 * b + 7) // 8 for b in (8, 2)
    }
    for bits, size in expected.items():
        assert rows[str(bits)][1] == f"{size + 4 * (biases + 3):,}"
    first = lines.index("layer  8 bits  2 bits")
    assert [line.split()[0] for line in lines[first + 1 : first + 4]] == ["conv", "ip1", "ip2"]


def test_many_numbers_of_bits_fit_into_80_columns(quantize):
    lines = quantize(f"--bits={','.join(map(str, range(2, 17)))}", "--iterations=1")
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("layer") for line in lines) == 4


def test_weights_lie_on_the_grid(quantize):
    quantize("--bits=3", "--output=q", "--activations=kl")
    weights = {layer.name: layer.blobs for layer in read_net_weights("q.caffemodel")}
    layers = {layer.name: layer for layer in read_net("q.prototxt").param.layer}
    types = {"conv": "ConvolutionRistretto", "ip1": "FcRistretto", "ip2": "FcRistretto"}
    for name, layer_type in types.items():
        layer = layers[name]
        assert layer.type == layer_type
        proto = layer.quantization_param
        assert proto.bw_params == 3
        assert proto.bw_layer_in == 3
        # Scores stay floats.
        assert proto.bw_layer_out == (32 if name == "ip2" else 3)
        scaled = weights[name][0].reshape(len(proto.scale_params), -1).T * proto.scale_params
        assert np.abs(scaled - np.rint(scaled)).max() < 1e-4
        assert set(np.unique(np.rint(scaled))) <= {-3, -2, -1, 0, 1, 2, 3}


def test_normalisation_is_folded_and_phases_are_kept(quantize, caplog_minicaffe):
    quantize("--bits=8", "--output=q")
    assert "Folded bn, scale into conv" in caplog_minicaffe.text
    layers = read_net("q.prototxt").param.layer
    assert [layer.name for layer in layers if layer.type == "Data"] == ["clothes", "clothes"]
    assert [str(layer.include[0]).strip() for layer in layers[:2]] == [
        "phase: TRAIN",
        "phase: TEST",
    ]
    assert not {"bn", "scale"} & {layer.name for layer in layers}


def test_a_plain_net_reads_the_weights(quantize, accuracy):
    quantize("--bits=4,2", "--output=q", "--error_margin=5")
    message = read_prototxt("q.prototxt", NetParameter).message
    plain = {"ConvolutionRistretto": "Convolution", "FcRistretto": "InnerProduct"}
    for layer in message.layer:
        layer.type = plain.get(layer.type, layer.type)
        layer.ClearField("quantization_param")
    Path("plain.prototxt").write_text(str(message))
    expected = accuracy("q.prototxt", "q.caffemodel")
    assert accuracy("plain.prototxt", "q.caffemodel") == pytest.approx(expected, abs=1e-4)


def test_fine_tuning_recovers_accuracy(quantize, accuracy):
    quantize("--bits=2", "--per=layer", "--scales=max", "--output=q")
    before = accuracy("q.prototxt", "q.caffemodel")
    Path("fine.prototxt").write_text(
        'net: "q.prototxt" base_lr: 0.005 lr_policy: "fixed" momentum: 0.9 max_iter: 150 '
        'snapshot_prefix: "fine" random_seed: 4'
    )
    arguments = ["--solver=fine.prototxt", "--weights=q.caffemodel"]
    assert run_command("train", arguments) == 0
    assert accuracy("q.prototxt", "fine_iter_150.caffemodel") > before + 0.05


@pytest.mark.parametrize(
    "flags", [["--per=layer"], ["--activations=kl"], ["--per=layer", "--scales=power_of_two"]]
)
def test_onnxruntime_has_the_accuracy_of_the_simulation(quantize, accuracy, flags):
    quantize("--bits=8,4", "--error_margin=3", "--output=q", *flags)
    files = ["q.prototxt", "q.caffemodel", "-o", "q.onnx", "--input_shape=1,28,28", "--batch=50"]
    assert run_command("export", ["onnx", *files, "--check"]) == 0
    right = 0
    with closing(Net("q.prototxt", "TEST")) as net:
        for _ in range(BATCHES):
            net.forward()
            (scores,) = run_onnx("q.onnx", {"data": net.blobs["data"].data.get()}, ["prob"])
            right += int((scores.argmax(axis=1) == net.blobs["label"].data.get()).sum())
    assert right / (50 * BATCHES) == pytest.approx(accuracy("q.prototxt", "q.caffemodel"), abs=0.01)


def test_a_quantised_net_can_be_quantised_again(quantize, accuracy):
    quantize("--bits=3", "--output=q", "--error_margin=20")
    again = ["--model=q.prototxt", "--weights=q.caffemodel"]
    rows = uniform_rows(quantize("--bits=8,3", "--output=r", *again))
    # In floats it has the weights of the grid, which have three bits.
    expected = pytest.approx(accuracy("q.prototxt", "q.caffemodel"), abs=1e-4)
    assert float(rows["floats"][0]) == expected
    assert accuracy("r.prototxt", "r.caffemodel") == pytest.approx(expected.expected, abs=0.02)


def test_a_loss_may_rise_by_percents(quantize):
    lines = quantize("--score=loss", "--error_margin=4", "--bits=8,5,3")
    floats, found = (
        float(x) for x in re.match(r"loss = (\S+) \((\S+) in floats\)", lines[-1]).groups()[::-1]
    )
    assert found <= 1.04 * floats + 1e-4
    assert any(line.startswith("Smallest net found within 4 % of") for line in lines)


def test_no_net_within_the_margin(quantize):
    lines = quantize("--bits=2", "--scales=max", "--per=layer", "--error_margin=0")
    assert any(re.match(r"No net is within 0 points of .*\. Most bits:", line) for line in lines)


def test_tables(quantize):
    tables = "--table=ncnn,tensorrt,json"
    quantize("--bits=8,4", "--activations=max", tables, "--output=q", "--calibration_iterations=8")
    weights = {layer.name: layer.blobs for layer in read_net_weights("q.caffemodel")}
    largest = largest_values()

    ncnn = ncnn_scales("q.table")
    assert list(ncnn) == ["conv_param_0", "ip1_param_0", "ip2_param_0", "conv", "ip1", "ip2"]
    for name, bottom in (("conv", "data"), ("ip1", "pool"), ("ip2", "ip1")):
        assert len(ncnn[f"{name}_param_0"]) == len(weights[name][0])
        assert ncnn[name] == [pytest.approx(127 / largest[bottom], rel=1e-5)]

    first, *lines = Path("q.cache").read_text().splitlines()
    assert re.fullmatch(r"TRT-\d{4,6}-EntropyCalibration2", first)
    scales = {
        name: struct.unpack(">f", bytes.fromhex(text))[0]
        for name, text in (line.split(": ") for line in lines)
    }
    assert list(scales) == ["data", "normal", "pool", "ip1", "ip2"]
    for name, scale in scales.items():
        assert scale == pytest.approx(largest[name] / 127, rel=1e-5)

    results = json.loads(Path("q.json").read_text())
    assert [row["bits"] for row in results["all_layers"]] == [8, 4]
    assert results["blobs"]["pool"]["threshold"] == pytest.approx(largest["pool"], rel=1e-5)
    assert set(results["found"]["layers"]) == {"conv", "ip1", "ip2"}


def ncnn_scales(path: str) -> dict[str, list[float]]:
    """Read a table as ncnn2int8 does: words separated by spaces, the first one is the key."""
    lines = [line.split() for line in Path(path).read_text().splitlines()]
    return {key: list(map(float, scales)) for key, *scales in lines}


def largest_values() -> dict[str, float]:
    """Return the largest magnitude of each blob of the trained net over the test set."""
    found: dict[str, float] = {}
    with closing(Net("net.prototxt", "TEST")) as net:
        copy_trained_layers(net, "net_iter_200.caffemodel")
        for _ in range(BATCHES):
            net.forward()
            for name, blob in net.blobs.items():
                found[name] = max(found.get(name, 0.0), float(np.abs(blob.data.get()).max()))
    return found


def test_scales_of_ncnn_of_groups_and_of_winograd(project, caplog_minicaffe):
    Path("groups.prototxt").write_text(
        'layer { name: "c" type: "DummyData" top: "data" top: "label" dummy_data_param {'
        " data_filler { type: 'gaussian' } data_filler { value: 1 }"
        " shape { dim: 2 dim: 6 dim: 8 dim: 9 } shape { dim: 2 } } }\n"
        + conv("plain", "data", "num_output: 6 kernel_size: 3")
        + conv("depth", "plain", "num_output: 6 kernel_size: 3", "DepthwiseConvolution")
        + conv("wide", "depth", "num_output: 4 kernel_size: 2")
        + conv("up", "wide", "num_output: 4 kernel_size: 2 group: 2", "Deconvolution")
        + 'layer { name: "slope" type: "PReLU" bottom: "up" top: "up" }\n'
        + 'layer { name: "s" type: "Reduction" bottom: "up" top: "s" '
        "reduction_param { axis: 2 } }\n"
        + 'layer { name: "a" type: "Accuracy" bottom: "s" bottom: "label" top: "accuracy" }\n'
    )
    with closing(Net("groups.prototxt", "TEST", seed=2)) as net:
        save_net(net, "groups.caffemodel")
        kernels = {layer.name: layer.blobs[0].data.get() for layer in net.layers if layer.blobs}
    flags = ["--model=groups.prototxt", "--weights=groups.caffemodel", "--iterations=1"]
    more = ["--bits=8", "--activations=max", "--table=ncnn", "--output=q"]
    assert run_command("quantize", [*flags, *more]) == 0
    scales = ncnn_scales("q.table")
    assert list(scales) == [
        *("plain_param_0", "depth_param_0", "wide_param_0"),
        *("plain", "depth", "wide"),
    ]
    assert "up is not in ncnn's table" in caplog_minicaffe.text
    assert "up has one scale, because its groups share an axis" in caplog_minicaffe.text
    assert "Parameters of other layers stay in floats: slope" in caplog_minicaffe.text
    depth = next(layer for layer in read_net("q.prototxt").param.layer if layer.name == "depth")
    assert (depth.type, depth.convolution_param.group) == ("ConvolutionRistretto", 6)
    for name, largest in (("plain", 31), ("depth", 127), ("wide", 127)):
        limits = np.abs(kernels[name]).reshape(len(kernels[name]), -1).max(axis=1)
        np.testing.assert_allclose(scales[f"{name}_param_0"], largest / limits, rtol=1e-5)


def test_layers_that_share_weights_have_the_same_bits(project, capsys):
    shared = 'param { name: "w" } inner_product_param { num_output: 7 bias_term: false }'
    first = 'type: "InnerProduct" bottom: "%s" top: "%s" ' + shared
    Path("twins.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {'
        " data_filler { type: 'gaussian' } shape { dim: 3 dim: 5 } } }\n"
        f'layer {{ name: "one" {first % ("a", "x")} }}\n'
        f'layer {{ name: "two" {first % ("b", "y")} }}\n'
        'layer { name: "l" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "loss" }'
    )
    with closing(Net("twins.prototxt", "TEST")) as net:
        net.layers[1].blobs[0].data.set(np.random.default_rng(3).standard_normal((7, 5)))
        save_net(net, "twins.caffemodel")
    flags = ["--model=twins.prototxt", "--weights=twins.caffemodel", "--iterations=2"]
    assert run_command("quantize", [*flags, "--score=loss", "--bits=3", "--output=q"]) == 0
    out = capsys.readouterr().out
    assert f"{4 * 35:,}" in out
    assert "two" not in out
    formats = [
        layer.quantization_param
        for layer in read_net("q.prototxt").param.layer
        if layer.type == "FcRistretto"
    ]
    assert len(formats) == 2
    assert formats[0] == formats[1]
    one, two = (layer.blobs[0] for layer in read_net_weights("q.caffemodel") if layer.blobs)
    np.testing.assert_array_equal(one, two)


def conv(name: str, bottom: str, settings: str, layer_type: str = "Convolution") -> str:
    """Return the prototxt of a convolution."""
    return (
        f'layer {{ name: "{name}" type: "{layer_type}" bottom: "{bottom}" top: "{name}" '
        f'convolution_param {{ {settings} weight_filler {{ type: "xavier" }} }} }}\n'
    )


def test_plot(quantize):
    quantize("--bits=8,2", "--plot=plot.png", "--activations=max", "--iterations=1")
    assert Path("plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--bits=8,1"], 2, "--bits=8,1: must be numbers from 2 to 16"),
        (["--bits=17"], 2, "--bits=17: must be numbers from 2 to 16"),
        (["--bits=four"], 2, "--bits=four: must be numbers from 2 to 16"),
        (["--table=ncn", "--output=q"], 2, "no table ncn. Did you mean ncnn?"),
        (["--table=ncnn", "--output=q"], 2, "--table=ncnn needs the ranges of activations"),
        (["--table=json"], 2, "--table needs --output=PREFIX"),
        (["--scales=power_of_two"], 2, "--scales=power_of_two needs --per=layer"),
        (["--error_margin=-1"], 2, "--error_margin=-1: must be from 0 to 100"),
        (["--output=absent/q"], 2, "--output=absent/q: the folder absent does not exist"),
        (["--plot=absent/q.png"], 2, "--plot=absent/q.png: the folder absent does not exist"),
        (["--plot=q.bmp"], 2, "q.bmp: unknown type of figure"),
        (["--score=acuracy"], 1, 'no output "acuracy" in the TEST phase'),
        (["--model=absent.prototxt"], 1, "absent.prototxt: no such file"),
        (["--weights=absent.caffemodel"], 1, "absent.caffemodel: no such file"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_refused(project, capsys, flags, code, message):
    assert run_command("quantize", [*MODEL, "--iterations=1", *flags]) == code
    assert message in capsys.readouterr().err
    assert not list(Path.cwd().glob("q.*"))


def test_an_output_of_many_values_is_no_score(project, capsys):
    text = Path("net.prototxt").read_text().replace('name: "accuracy"', 'name: "many"', 1)
    text = text.replace(
        'type: "Accuracy" bottom: "ip2" bottom: "label"', 'type: "AbsVal" bottom: "ip2"'
    )
    Path("many.prototxt").write_text(text)
    assert run_command("quantize", [*MODEL, "--iterations=1", "--model=many.prototxt"]) == 1
    assert 'output "accuracy" has 500 values' in capsys.readouterr().err


def test_nothing_to_quantise(project, capsys):
    data = 'type: "DummyData" top: "accuracy" dummy_data_param { shape { dim: 1 } }'
    Path("none.prototxt").write_text(f'layer {{ name: "d" {data} }}')
    assert run_command("quantize", [*MODEL, "--model=none.prototxt"]) == 1
    assert "the net has nothing to quantise" in capsys.readouterr().err


def test_weights_that_are_not_finite(project, capsys):
    with closing(Net("net.prototxt", "TEST")) as net:
        net.layers[net.layer_index("ip1")].blobs[0].data.set(np.full((31, 324), np.nan, np.float32))
        save_net(net, "nan.caffemodel")
    assert run_command("quantize", [*MODEL, "--weights=nan.caffemodel", "--iterations=1"]) == 1
    assert 'layer "ip1" has weights that are not finite' in capsys.readouterr().err


def test_a_request_without_effect(project, caplog_minicaffe):
    flags = [*MODEL, "--iterations=1", "--bits=8", "--calibration_iterations=2"]
    assert run_command("quantize", flags) == 0
    assert "--calibration_iterations has no effect" in caplog_minicaffe.text
