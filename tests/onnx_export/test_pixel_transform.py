"""--transform and --rgb: the file takes pixels, and computes what the data layer computes."""

import re

import numpy as np
import pytest

from minicaffe.cli.main import run_command
from minicaffe.data.transformer import DataTransformer
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.onnx_export.pixel_transform import read_transform
from minicaffe.schema import TEST, NetState, parse_net, write_blobproto
from onnx_export.exporting import run, set_normal

INPUT = (
    'layer { name: "in" type: "Input" top: "data" '
    "input_param { shape { dim: 2 dim: 3 dim: 7 dim: 9 } } }"
)
CONV = (
    'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" '
    "convolution_param { num_output: 4 kernel_size: 3 pad: 1 } } "
    'layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }'
)
NET = INPUT + CONV
DATA = (
    'layer {{ name: "d" type: "Data" top: "data" top: "label" '
    'data_param {{ source: "x" batch_size: 1 }} '
    "transform_param {{ {} }} }}"
)
MEANS = "mean_value: 104 mean_value: 117.5 mean_value: 123"
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 3, 7, 9)).astype(np.float32)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A net with weights, and a mean image larger than its input."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    net = Net(parse_net(NET, "net.prototxt"), "TEST", seed=1)
    set_normal(net)
    save_net(net, "net.caffemodel")
    write_blobproto("mean", np.random.default_rng(1).uniform(0, 255, (3, 11, 12)))
    return tmp_path


def export(*flags: str) -> int:
    return run_command("export", ["onnx", "net.prototxt", "net.caffemodel", *flags])


def expected(data: np.ndarray) -> dict[str, np.ndarray]:
    net = Net(parse_net(NET, "net.prototxt"), "TEST", seed=1)
    set_normal(net)
    net.blobs["data"].data.set(data)
    net.forward()
    return {blob.name: blob.data.get() for blob in net.outputs}


def assert_computes(data: np.ndarray, pixels: np.ndarray) -> None:
    found, right = run("net.onnx", {"data": pixels}), expected(data)
    assert found.keys() == right.keys()
    for name, values in right.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4 * values.max())


@pytest.mark.parametrize("batch", ["2", "dynamic"])
@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize(
    "settings",
    [MEANS, "mean_value: 120", "scale: 0.00390625", f"{MEANS} scale: 0.017 mirror: true"],
)
def test_the_file_computes_what_the_data_layer_does(files, settings, rgb, batch):
    (files / "train.prototxt").write_text(DATA.format(settings))
    flags = ["--transform=train.prototxt", f"--batch={batch}", "--check", *["--rgb"] * rgb]
    assert export(*flags) == 0
    param = read_transform("train.prototxt", NetState(), rgb).param
    param.ClearField("mirror")
    assert_computes(DataTransformer(param, TEST)(PIXELS), PIXELS[:, ::-1] if rgb else PIXELS)


def test_a_mean_image_is_cut_as_in_the_test_phase(files):
    settings = 'mean_file: "mean" crop_h: 7 crop_w: 9 scale: 0.5'
    (files / "train.prototxt").write_text(DATA.format(settings))
    assert export("--transform=train.prototxt", "--check") == 0
    whole = np.zeros((2, 3, 11, 12), np.float32)
    whole[:, :, 2:9, 1:10] = PIXELS
    param = read_transform("train.prototxt", NetState(), False).param
    assert_computes(DataTransformer(param, TEST)(whole), PIXELS)


def test_rgb_alone_reverses_channels(files):
    assert export("--rgb", "--check") == 0
    assert_computes(PIXELS, PIXELS[:, ::-1])


def test_data_of_the_test_phase_counts(files):
    text = "".join(
        DATA.format(f"mean_value: {mean}").replace("layer {", f"layer {{ include {{ phase: {p} }} ")
        for p, mean in (("TRAIN", 1), ("TEST", 2))
    )
    (files / "train.prototxt").write_text(text)
    assert read_transform("train.prototxt", NetState(), False).param.mean_value == [2]
    (files / "train.prototxt").write_text(text.partition("layer { include { phase: TEST")[0])
    assert read_transform("train.prototxt", NetState(), False).param.mean_value == [1]


def test_the_net_itself_may_have_the_data_layer(files, caplog_minicaffe):
    text = DATA.format(f"{MEANS} crop_h: 7 crop_w: 9") + CONV
    (files / "net.prototxt").write_text(text)
    flags = ["--input_shape=3,11,12", "--batch=2"]
    assert export("--transform=net.prototxt", "--check", *flags) == 0
    messages = "\n".join(caplog_minicaffe.messages)
    assert "becomes an input of shape (1, 3, 7, 9), without its transform_param" in messages
    assert 'input "data" takes pixels from 0 to 255' in messages
    assert "left out of transform_param: crop_h, crop_w. Give" in messages
    means = np.float32([104, 117.5, 123])[:, None, None]
    assert_computes(PIXELS - means, PIXELS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NET, r'train\.prototxt: no data layer has a .*: "in" \(Input\)\.'),
        ('layer { type: "ReLU" name: "r" bottom: "x" top: "y" }', "layers without bottoms: none"),
        (
            DATA.format("mean_value: 1 mean_value: 2"),
            'layer "d": transform_param: 2 mean_values for images of 3 channels',
        ),
        (DATA.format('mean_file: "nowhere"'), 'layer "d": mean_file nowhere: no such file'),
        (
            DATA.format('mean_file: "mean"'),
            'layer "d": mean_file mean: the mean is 3 x 11 x 12 and the net\'s input 3 x 7 x 9',
        ),
        (DATA.format('mean_file: "mean" mean_value: 1'), "mean_file and mean_value are both set"),
        (
            DATA.format("mean_value: 1") + DATA.format("mean_value: 2").replace('"d"', '"e"'),
            'train.prototxt:1, layer "d": layer "e" has another transform_param',
        ),
    ],
)
def test_errors(files, caplog_minicaffe, text, message):
    (files / "train.prototxt").write_text(text)
    assert export("--transform=train.prototxt") == 1
    assert re.search(message, caplog_minicaffe.messages[-1])
    assert not (files / "net.onnx").exists()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (INPUT.replace("dim: 3", "dim: 1"), r'--rgb: the order of colours .* "data" has 1'),
        (
            INPUT.replace("dim: 7 dim: 9", ""),
            r"--rgb: the net net\.prototxt has 0 inputs for images",
        ),
        (
            INPUT + INPUT.replace("data", "b"),
            "has 2 inputs for images, and none is called '': data, b",
        ),
    ],
)
def test_nets_without_a_single_image(files, caplog_minicaffe, inputs, message):
    (files / "net.prototxt").write_text(inputs + CONV)
    assert export("--rgb") == 1
    assert re.search(message, caplog_minicaffe.messages[-1])


def test_a_transformation_without_values_warns(files, caplog_minicaffe):
    (files / "train.prototxt").write_text(DATA.format("mirror: true"))
    assert export("--transform=train.prototxt") == 0
    assert any("so --transform has no effect" in m for m in caplog_minicaffe.messages)
