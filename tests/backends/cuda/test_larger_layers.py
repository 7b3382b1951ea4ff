"""Kernels of the cuda backend where a block, a tile, or a part of a sum is not all there is.

The generic suite's shapes are too small for that. All values here can be written with eight bits,
so that activations of 16 bits begin without an error; what they then lose is allowed for.
"""

from __future__ import annotations

import numpy as np
import pytest

from cases.case import Case, Values, labels
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.errors import BackendUnavailable
from probe import REFERENCE, EmulatedBackend, Probe, make_backend
from tolerances import Tolerance, assert_close

FORMATS = [
    Format(is_last, value)
    for value in ("float", "bfloat16", "float16")
    for is_last in (False, True)
]
# A rounding to 8 or 11 bits, several times over.
ALLOWED = {
    "float": Tolerance(1e-5, 1e-4),
    "bfloat16": Tolerance(0.02, 0.02),
    "float16": Tolerance(0.003, 0.003),
}


def coarse(*shape: int, offset: float = 0.0) -> Values:
    """Multiples of 1/16 in [-4, 4], plus `offset`."""
    return Values(shape, lambda rng, s: rng.integers(-64, 65, s) / 16 + offset)


def case(name, layer_type, settings, bottoms, **options):
    return pytest.param(layer_type, Case(name, settings, bottoms, **options), id=name)


def reduction(operation: str, axis: int) -> str:
    return f"reduction_param {{ operation: {operation} axis: {axis} coeff: 0.5 }}"


IMAGES = {"x": coarse(3, 70, 13, 11)}
SCORES = {"x": coarse(2, 7, 9, 11), "t": labels(2, 9, 11, below=7)}
LOSS = {"tops": ("loss",)}
PLACES = {"gradients": (), "tops_without_gradient": ("y",)}


def recurrent(layer_type, states, steps, streams, inputs, size):
    """A layer with a static input and its states as bottoms and tops; weights of 1/32 to 8/32."""
    small = Values((), lambda rng, s: rng.integers(-8, 9, s) / 32)
    bottoms = {
        "x": coarse(steps, streams, inputs),
        "cont": labels(steps, streams, below=2),
        "static": coarse(streams, 5),
        **{f"{state}0": coarse(1, streams, size) for state in states},
    }
    return case(
        f"{layer_type} of {steps} steps, {streams} streams",
        layer_type,
        f"recurrent_param {{ num_output: {size} expose_hidden: true }}",
        bottoms,
        tops=("y", *(f"{state}1" for state in states)),
        params=(small,) * 6,
    )


CASES = [
    recurrent("LSTM", "hc", 5, 37, 11, 29),
    recurrent("LSTM", "hc", 1, 3, 7, 5),
    recurrent("LSTM", "hc", 7, 1, 1, 3),
    recurrent("LSTM", "hc", 1, 1, 3, 1),
    recurrent("RNN", "h", 5, 37, 11, 29),
    recurrent("RNN", "h", 1, 3, 7, 5),
    recurrent("RNN", "h", 7, 1, 1, 3),
    recurrent("RNN", "h", 1, 1, 3, 1),
    case(
        "LSTM unit",
        "LSTMUnit",
        "",
        {"c": coarse(1, 37, 29), "a": coarse(1, 37, 116), "cont": labels(1, 37, below=2)},
        tops=("c1", "h1"),
    ),
    case("max", "Pooling", "pooling_param { kernel_size: 3 stride: 2 }", IMAGES),
    case(
        "max of a large window",
        "Pooling",
        "pooling_param { kernel_size: 17 stride: 2 }",
        {"x": coarse(2, 3, 21, 19)},
    ),
    case("mean", "Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }", IMAGES),
    case("LRN across", "LRN", "lrn_param { alpha: 0.5 }", IMAGES),
    case(
        "LRN within",
        "LRN",
        "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }",
        IMAGES,
    ),
    case("normalised", "BatchNorm", "", IMAGES, params_without_gradient=(0, 1, 2)),
    case(
        "normalised, few channels, many values",
        "BatchNorm",
        "",
        {"x": coarse(5, 3, 37, 41)},
        params_without_gradient=(0, 1, 2),
    ),
    case(
        "normalised vectors",
        "BatchNorm",
        "",
        {"x": coarse(301, 37)},
        params_without_gradient=(0, 1, 2),
    ),
    case("scaled", "Scale", "scale_param { bias_term: true }", IMAGES),
    case("scaled by one number", "Scale", "scale_param { num_axes: 0 bias_term: true }", IMAGES),
    case("biased", "Bias", "", IMAGES),
    case("slopes", "PReLU", "", IMAGES),
    case("softmax of pixels", "Softmax", "", {"x": coarse(2, 7, 9, 11)}),
    case("softmax of rows", "Softmax", "", {"x": coarse(37, 70)}),
    case("softmax of long rows", "Softmax", "", {"x": coarse(5, 1001)}),
    case("softmax of few pixels", "Softmax", "", {"x": coarse(3, 70, 2, 3)}),
    case("loss of pixels", "SoftmaxWithLoss", "loss_param { ignore_label: 3 }", SCORES, **LOSS),
    case(
        "loss of long rows",
        "SoftmaxWithLoss",
        "",
        {"x": coarse(5, 1001), "t": labels(5, below=256)},
        **LOSS,
    ),
    case(
        "accuracy by class",
        "Accuracy",
        "accuracy_param { top_k: 2 ignore_label: 3 }",
        SCORES,
        tops=("y", "by_class"),
        gradients=(),
        tops_without_gradient=("y", "by_class"),
    ),
    case(
        "accuracy of long rows",
        "Accuracy",
        "accuracy_param { top_k: 5 }",
        {"x": coarse(41, 301), "t": labels(41, below=256)},
        gradients=(),
        tops_without_gradient=("y",),
    ),
    case("euclidean", "EuclideanLoss", "", {"x": coarse(7, 301), "z": coarse(7, 301)}, **LOSS),
    case(
        "sigmoid",
        "SigmoidCrossEntropyLoss",
        "loss_param { ignore_label: 1 }",
        {"x": coarse(7, 301), "t": labels(7, 301, below=2)},
        **LOSS,
    ),
    case(
        "hinge",
        "HingeLoss",
        "hinge_loss_param { norm: L2 }",
        {"x": coarse(37, 101), "t": labels(37, below=101)},
        **LOSS,
    ),
    case(
        "contrastive",
        "ContrastiveLoss",
        "contrastive_loss_param { margin: 30 }",
        {"x": coarse(37, 70), "z": coarse(37, 70), "similar": labels(37, below=2)},
        **LOSS,
    ),
    case(
        "a block of images",
        "Crop",
        "crop_param { offset: 2 offset: 1 }",
        IMAGES | {"like": coarse(3, 70, 9, 10)},
    ),
    case(
        "a block along every axis",
        "Crop",
        "crop_param { axis: 0 offset: 1 offset: 33 offset: 0 offset: 3 }",
        IMAGES | {"like": coarse(2, 30, 12, 7)},
    ),
    case(
        "some samples and lines",
        "Crop",
        "crop_param { axis: 0 offset: 1 offset: 0 offset: 2 offset: 0 }",
        IMAGES | {"like": coarse(2, 70, 9, 11)},
    ),
    case(
        "a pixel",
        "Crop",
        "crop_param { offset: 5 offset: 7 }",
        IMAGES | {"like": coarse(3, 70, 1, 1)},
    ),
    case(
        "a block of volumes",
        "Crop",
        "crop_param { offset: 1 offset: 2 offset: 3 }",
        {"x": coarse(2, 3, 5, 7, 9), "like": coarse(2, 3, 3, 4, 5)},
    ),
    case("channels tiled", "Tile", "tile_param { tiles: 3 }", {"x": coarse(3, 21, 13, 11)}),
    case("lines tiled", "Tile", "tile_param { axis: 2 tiles: 3 }", {"x": coarse(3, 21, 13, 11)}),
    case("samples tiled", "Tile", "tile_param { axis: 0 tiles: 2 }", {"x": coarse(3, 21, 13, 11)}),
    case("numbers tiled often", "Tile", "tile_param { tiles: 37 }", {"x": coarse(13, 1)}),
    case("numbers tiled to rows", "Tile", "tile_param { tiles: 301 }", {"x": coarse(13, 1)}),
    case(
        "a vector at every pixel",
        "Tile",
        "tile_param { axis: 3 tiles: 13 }",
        {"x": coarse(2, 37, 3, 1)},
    ),
    case(
        "words",
        "Embed",
        "embed_param { input_dim: 11 num_output: 37 }",
        {"t": labels(37, 13, below=11)},
    ),
    case(
        "many words",
        "Embed",
        "embed_param { input_dim: 1009 num_output: 3 bias_term: false }",
        {"t": labels(41, 7, below=256)},
    ),
    case(
        "images taken often",
        "BatchReindex",
        "",
        {"x": coarse(7, 37, 5, 3), "rows": labels(19, below=5)},
    ),
    case("numbers taken often", "BatchReindex", "", {"x": coarse(7), "rows": labels(301, below=5)}),
    case("sum of all", "Reduction", "", {"x": coarse(3, 70, 13, 11)}),
    case("mean of samples", "Reduction", reduction("MEAN", 1), IMAGES),
    case("squares of channels", "Reduction", reduction("SUMSQ", 2), IMAGES),
    case("magnitudes of lines", "Reduction", reduction("ASUM", 3), IMAGES),
    case(
        "squares of few channels", "Reduction", reduction("SUMSQ", 2), {"x": coarse(5, 3, 37, 41)}
    ),
    case("sums of many rows", "Reduction", reduction("SUM", -1), {"x": coarse(301, 37)}),
    case("channels of samples", "MVN", "", IMAGES),
    case("few channels of samples", "MVN", "", {"x": coarse(5, 3, 37, 41)}),
    case("samples", "MVN", "mvn_param { across_channels: true eps: 0.01 }", IMAGES),
    case("samples centred", "MVN", "mvn_param { normalize_variance: false }", IMAGES),
    case("rows", "MVN", "mvn_param { across_channels: true }", {"x": coarse(37, 301)}),
    case(
        "weighed confusions of pixels",
        "InfogainLoss",
        "loss_param { ignore_label: 3 }",
        SCORES | {"h": coarse(7, 7)},
        **LOSS,
    ),
    case(
        "weighed confusions of long rows",
        "InfogainLoss",
        "",
        {"x": coarse(5, 301), "t": labels(5, below=256), "h": coarse(301, 301)},
        **LOSS,
    ),
    case(
        "weighed confusions in the middle",
        "InfogainLoss",
        "infogain_loss_param { axis: 2 }",
        {"x": coarse(3, 5, 7, 37), "t": labels(3, 5, 37, below=7), "h": coarse(7, 7)},
        **LOSS,
    ),
    case(
        "given probabilities",
        "MultinomialLogisticLoss",
        "",
        {
            "x": Values((301, 7), lambda rng, s: rng.integers(1, 8, s) / 8),
            "t": labels(301, below=7),
        },
        **LOSS,
    ),
    case("largest channel of pixels", "ArgMax", "argmax_param { axis: 1 }", IMAGES, **PLACES),
    case(
        "largest three of few channels",
        "ArgMax",
        "argmax_param { axis: 1 top_k: 3 out_max_val: true }",
        {"x": coarse(2, 7, 37, 41)},
        **PLACES,
    ),
    case("largest line", "ArgMax", "argmax_param { axis: 2 top_k: 2 }", IMAGES, **PLACES),
    case(
        "largest of samples",
        "ArgMax",
        "argmax_param { top_k: 5 out_max_val: true }",
        {"x": coarse(3, 7, 13, 11)},
        **PLACES,
    ),
    case(
        "largest of vectors",
        "ArgMax",
        "argmax_param { top_k: 3 }",
        {"x": coarse(301, 37)},
        **PLACES,
    ),
    case(
        "windows",
        "Im2col",
        "convolution_param { kernel_size: 3 stride: 2 pad: 1 dilation: 2 }",
        {"x": coarse(3, 7, 23, 21)},
    ),
]


@pytest.fixture(params=FORMATS, ids=lambda f: f"{f.value}-{'last' if f.channels_last else 'first'}")
def backend(request):
    try:
        return EmulatedBackend(request.param)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize(("layer_type", "layer"), CASES)
def test_layer_is_the_references(layer_type, layer, backend):
    # Blocks and threads in the other order than in the generic suite.
    backend.device.is_backwards = True
    want = Probe(layer_type, layer, make_backend(REFERENCE)).run()
    got = Probe(layer_type, layer, backend).run()
    assert got.keys() == want.keys()
    for name, values in want.items():
        assert_close(got[name], values, ALLOWED[backend.format.value], name)


@pytest.mark.parametrize(("layer_type", "axes"), [("BatchNorm", (0, 2, 3)), ("MVN", (2, 3))])
def test_statistics_of_values_far_from_zero(layer_type, axes, backend):
    """A sum of squares would leave nothing of a variance so much smaller than the mean."""
    x = np.random.default_rng(5).integers(0, 2, (4, 3, 9, 11)) + 256.0 - 128.0
    probe = Probe(layer_type, Case("far", "", {"x": coarse(4, 3, 9, 11)}), backend)
    y = probe.forward({"x": x})["y"]
    centred = x - x.mean(axes, keepdims=True)
    want = centred / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    assert_close(y, want, ALLOWED[backend.format.value], "y")


@pytest.mark.parametrize(("layer_type", "layer"), CASES)
def test_order_of_blocks_and_threads_changes_no_bit(layer_type, layer):
    runs = []
    for is_backwards in (False, True):
        backend = make_backend("cuda-channels-last")
        backend.device.is_backwards = is_backwards
        runs.append(Probe(layer_type, layer, backend).run())
    for name, values in runs[0].items():
        np.testing.assert_array_equal(runs[1][name], values, err_msg=name)
