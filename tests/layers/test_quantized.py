"""Layers in small numbers: grids, gradients that pass straight through, phases, messages."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

from cases.case import Case, exactly, normal
from minicaffe.errors import NetError
from minicaffe.layers import LAYERS, summary_of
from minicaffe.layers.quantized import QuantizedLayer
from minicaffe.ops.quantize import IntegerGrid, MiniFloat, PowersOfTwo, Quantize
from minicaffe.random import RandomStream
from minicaffe.schema import LayerParameter
from probe import Probe, net_from_text

NAN, INF = float("nan"), float("inf")
# Computed by hand from the formulas of ops/quantize.py; those of Ristretto, on a GPU.
NUMBERS = [
    (
        IntegerGrid.fixed_point(4, 2),  # -2, -1.75, ..., 1.75
        [0.1, 0.125, 0.375, -0.125, -0.4, 1.8, 5, -1.9, -5, INF, NAN],
        [0.0, 0, 0.5, 0, -0.5, 1.75, 1.75, -2, -2, 1.75, NAN],
    ),
    (
        IntegerGrid.fixed_point(8, -3),  # -1024, -1016, ..., 1016
        [3.9, 4.1, 12, 20, 5000, -5000],
        [0, 8, 16, 16, 1016, -1024],
    ),
    (IntegerGrid.fixed_point(1, 0), [0.4, 3, -0.6, -3], [0, 0, -1, -1]),
    (
        IntegerGrid.symmetric(4, (2.0,)),  # -3.5, -3, ..., 3.5
        [0.2, 0.25, 0.75, 5, -5, NAN],
        [0, 0, 1, 3.5, -3.5, NAN],
    ),
    (
        MiniFloat(2, 2),  # 0, and 4 to 7 eighths times 2^0 to 2^3
        [0, 0.4, 0.5, 1.1, 1.125, 1.2, 1.375, -3.3, 7.4, 7.9, 100, -INF, NAN],
        [0, 0, 0.5, 1, 1, 1.25, 1.5, -3.5, 7, 7, 7, -7, NAN],
    ),
    (
        PowersOfTwo(-2, 1),
        [0, 0.1, -0.1, 0.7, -0.71, 1, 1.5, 3, -100, INF, NAN],
        [0.25, 0.25, -0.25, 0.5, -1, 1, 2, 2, -2, 2, NAN],
    ),
]
FC = "inner_product_param {{ num_output: 3 {} }} quantization_param {{ {} }}"
X = {"x": normal(4, 5)}


def kernel_of(backend, grid, values, is_stochastic=False):
    x = backend.tensor(np.shape(values))
    x.set(values)
    return backend.plan(Quantize(grid, is_stochastic), x, x), x


def fc(backend, settings, phase, fc_settings=""):
    return Probe(
        "FcRistretto", Case("fc", FC.format(fc_settings, settings), X, phase=phase), backend
    )


def on_grid(values, bits, fraction_bits):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return np.clip(np.rint(values * 2.0**fraction_bits), low, high) / 2.0**fraction_bits


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("grid", "given", "want"), NUMBERS)
def test_numbers_computed_by_hand(grid, given, want, backend):
    kernel, x = kernel_of(backend, grid, given)
    kernel.forward(x, x, None)
    np.testing.assert_array_equal(x.get(), np.asarray(want, backend.dtype))


def test_scales_along_an_axis(backend):
    values = np.arange(24).reshape(2, 3, 4) / 10
    kernel, x = kernel_of(backend, IntegerGrid.symmetric(4, (1.0, 2.0, 10.0), 1), values)
    kernel.forward(x, x, None)
    scales = np.array([1.0, 2, 10])[:, None]
    want = np.clip(np.rint(values.astype(backend.dtype) * scales), -7, 7) / scales
    np.testing.assert_allclose(x.get(), want, rtol=1e-6)


@pytest.mark.parametrize(
    ("grid", "value", "below", "above"),
    [
        (IntegerGrid.fixed_point(8, 2), -0.6, -0.75, -0.5),
        (IntegerGrid.symmetric(8, (4.0,)), 0.3, 0.25, 0.5),
        (MiniFloat(2, 3), 1.3, 1.25, 1.5),
    ],
)
def test_random_rounding_keeps_the_mean(grid, value, below, above, backend):
    n = 20_011
    kernel, x = kernel_of(backend, grid, np.full(n, value), True)
    stream = RandomStream(3, "rounding")
    kernel.forward(x, x, stream)
    found = x.get()
    assert set(np.unique(found)) == {below, above}
    share = (value - below) / (above - below)
    # Five standard deviations of a binomial share.
    slack = 5 * np.sqrt(share * (1 - share) / n)
    assert (found == above).mean() == pytest.approx(share, abs=slack)
    assert stream.step == 1


def test_random_rounding_of_numbers_of_the_grid_changes_nothing(backend):
    values = np.arange(-128, 128) / 4
    kernel, x = kernel_of(backend, IntegerGrid.fixed_point(8, 2), values, True)
    kernel.forward(x, x, RandomStream(3, "rounding"))
    np.testing.assert_array_equal(x.get(), values)


def test_training_rounds_parameters_at_random_and_nothing_else(backend):
    """Rows of the identity as samples read the weights; the bias is found with a row of zeros."""
    settings = (
        "bw_params: 6 fl_params: 2 bw_layer_in: 2 fl_layer_in: 0 bw_layer_out: 2 fl_layer_out: 0"
    )
    samples = {"x": exactly(np.vstack([np.eye(5) * 3, np.zeros((1, 5))]))}
    case = Case("fc", FC.format("", settings), samples, reshapes=())
    probe = Probe("FcRistretto", case, backend)
    w, b = probe.parameters()
    y = probe.forward()["y"]
    rounded_w, rounded_b = (y[:5] - y[5]).T / 3, y[5]
    for got, exact in ((rounded_w, w), (rounded_b, b)):
        steps = got * 4
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
        assert (np.abs(got - exact) < 0.25).all()
    assert (np.abs(rounded_w - w) > 0.125).any(), "some are rounded to the farther number"
    probe.step.forward()
    assert (probe.tops["y"].data.get() != y).any(), "each pass draws anew"
    for got, kept in zip(probe.parameters(), (w, b), strict=True):
        np.testing.assert_array_equal(got, kept)


def test_gradients_pass_straight_through(backend):
    settings = (
        "bw_params: 4 fl_params: 2 bw_layer_in: 5 fl_layer_in: 3 bw_layer_out: 5 fl_layer_out: 2"
    )
    probe = fc(backend, settings, "TEST")
    got, x, dy = probe.run(), probe.inputs()["x"], probe.top_diffs()["y"]
    w, b = probe.parameters()
    q_x, q_w = on_grid(x, 5, 3), on_grid(w, 4, 2)
    want = {
        "top y": on_grid(q_x @ q_w.T + on_grid(b, 4, 2), 5, 2),
        "x": dy @ q_w,
        "param 0": dy.T @ q_x,
        "param 1": dy.sum(0),
    }
    for name, values in want.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_gradient_uses_the_weights_that_the_forward_pass_drew(backend):
    probe = fc(backend, "bw_params: 4 fl_params: 1", "TRAIN", "bias_term: false")
    y, dy = probe.forward()["y"], probe.top_diffs()["y"]
    dx = probe.backward()["x"]
    w = np.linalg.lstsq(dy.astype(np.float64), dx.astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose(probe.inputs()["x"] @ w.T, y, rtol=1e-3, atol=1e-4)


def test_scaled_weights_leave_the_bias_in_floats(backend):
    probe = fc(backend, "bw_params: 3 scale_params: [1, 2, 4]", "TEST")
    w, b = probe.parameters()
    scales = np.array([[1.0], [2], [4]])
    q_w = np.clip(np.rint(w * scales), -3, 3) / scales
    want = probe.inputs()["x"] @ q_w.T + b
    np.testing.assert_allclose(probe.forward()["y"], want, rtol=1e-4, atol=1e-5)


def test_32_bits_are_floats(backend):
    settings = (
        "bw_params: 32 fl_params: 1 bw_layer_in: 32 fl_layer_in: 1 rounding_scheme: STOCHASTIC"
    )
    probe = fc(backend, settings, "TEST")
    w, b = probe.parameters()
    want = probe.inputs()["x"] @ w.T + b
    np.testing.assert_allclose(probe.forward()["y"], want, rtol=1e-4, atol=1e-5)


GRIDS = "bw_layer_in: 5 fl_layer_in: 2 bw_params: 5 fl_params: 3 bw_layer_out: 6 fl_layer_out: 2"
# The factor leads off the grid, so that scaling and rounding do not commute. All sums are exact, as
# are ties.
FACTOR = 0.3125
NET = f"""
layer {{ name: "x" type: "Input" top: "x"
  input_param {{ shape {{ dim: 3 dim: 2 dim: 5 dim: 7 }} }} }}
layer {{ name: "conv" type: "ConvolutionRistretto" bottom: "x" top: "conv"
  convolution_param {{ num_output: 11 kernel_size: 3
    weight_filler {{ type: "gaussian" std: 0.5 }} }}
  quantization_param {{ {GRIDS} }} }}
layer {{ name: "scale" type: "Scale" bottom: "conv" top: "conv"
  scale_param {{ filler {{ value: {FACTOR} }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "fc" type: "FcRistretto" bottom: "conv" top: "fc"
  inner_product_param {{ num_output: 5 weight_filler {{ type: "gaussian" std: 0.3 }} }}
  quantization_param {{ {GRIDS} }} }}
layer {{ name: "sum" type: "Reduction" bottom: "conv" top: "sum" reduction_param {{ axis: 1 }} }}
layer {{ name: "of_x" type: "Reduction" bottom: "x" top: "of_x" reduction_param {{ axis: 1 }} }}
"""


@pytest.mark.parametrize("shares_memory", [False, True])
@pytest.mark.parametrize("by_layer", [False, True])
def test_a_net_in_place_with_other_readers(shares_memory, by_layer, backend):
    net = net_from_text(NET, "TEST", backend=backend)
    net.fill()
    if shares_memory:
        net.optimize_memory()
    x = np.random.default_rng(0).standard_normal((3, 2, 5, 7)) * 2
    net.blobs["x"].data.set(x)
    if by_layer:
        for i in range(len(net.steps)):
            net.forward(i, i)
    else:
        net.forward()
    w, b, _, v, c = (p.blob.data.get().astype(np.float64) for p in net.parameters)
    windows = np.lib.stride_tricks.sliding_window_view(on_grid(x, 5, 2), (3, 3), axis=(2, 3))
    sums = np.einsum("nchwij,fcij->nfhw", windows, on_grid(w, 5, 3))
    conv = on_grid(sums + on_grid(b, 5, 3)[:, None, None], 6, 2)
    conv = np.maximum(conv * FACTOR, 0)
    fc_sums = on_grid(conv, 5, 2).reshape(3, -1) @ on_grid(v, 5, 3).T + on_grid(c, 5, 3)
    want = {
        "fc": on_grid(fc_sums, 6, 2),
        "sum": conv.sum((1, 2, 3)),
        "of_x": x.sum((1, 2, 3)),
    }
    for name, values in want.items():
        got = net.blobs[name].data.get()
        np.testing.assert_allclose(got, values, rtol=1e-4, atol=1e-4, err_msg=name)


TYPES = sorted(name for name, cls in LAYERS.items() if cls.quantized_type)


@pytest.mark.parametrize("name", TYPES)
def test_the_type_in_small_numbers_has_the_same_settings_and_parameters(name):
    cls = LAYERS[name]
    quantized = LAYERS[cls.quantized_type]
    assert issubclass(quantized, QuantizedLayer)
    assert quantized.quantized_type == quantized.type
    assert quantized.param_field == cls.param_field
    assert quantized.has_weights == (cls.role != "normalization")


def test_types_in_small_numbers():
    assert {LAYERS[name].quantized_type for name in TYPES} == {
        name for name, cls in LAYERS.items() if issubclass(cls, QuantizedLayer)
    }
    assert {"Convolution", "DepthwiseConvolution", "InnerProduct", "LRN"} < set(TYPES)
    assert not {"Convolution3D", "Deconvolution3D", "Pooling"} & set(TYPES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("bw_params: 0 fl_params: 1", r"bw_params: 0 is not from 1 to 32"),
        ("bw_params: 33 fl_params: 1", r"bw_params: 33 is not from 1 to 32"),
        ("bw_params: 1 scale_params: 1", r"bw_params: 1 is not from 2 to 32"),
        ("bw_layer_in: 8 fl_layer_in: [1, 2]", r"fl_layer_in has 2 values; it must have 1"),
        ("bw_layer_out: 8 fl_layer_out: 101", r"fl_layer_out: 101 is not from -100 to 100"),
        ("bw_params: 8 fl_params: 1 scale_params: 1", r"fl_params and scale_params, .* remove one"),
        ("bw_params: 8 scale_params: [1, 2]", r"scale_params has 2 values; it must have 1, or 3"),
        ("bw_params: 8 scale_params: [1, 0, 2]", r"scale_params has \[0\.0\]; scales must be ab"),
        ("precision: MINIFLOAT mant_bits: 24", r"has mant_bits: 24 and exp_bits: 8; float32 has"),
        ("precision: MINIFLOAT exp_bits: 0", r"has mant_bits: 23 and exp_bits: 0; float32 has"),
        ("precision: INTEGER_POWER_OF_2_WEIGHTS exp_min: 0", r"exp_min: 0, .* exp_max: -1"),
    ],
)
def test_settings_without_a_grid(settings, message, backend):
    pattern = r'net\.prototxt:\d+, layer "probe" \(FcRistretto\): quantization_param'
    with pytest.raises(NetError, match=pattern + ".*" + message):
        fc(backend, settings, "TEST")


def test_a_group_of_several_channels_has_one_scale(backend):
    settings = (
        "convolution_param { num_output: 6 group: 3 kernel_size: 2 } "
        "quantization_param { bw_params: 4 scale_params: [1, 2, 3, 4, 5, 6] }"
    )
    case = Case("groups", settings, {"x": normal(2, 3, 4, 5)}, phase="TEST")
    with pytest.raises(NetError, match=r"scale_params has 6 values; it must have 1$"):
        Probe("DeconvolutionRistretto", case, backend)


def test_normalized_weights_are_refused(backend):
    with pytest.raises(NetError, match=r"normalize: true cannot be combined with rounded weights"):
        fc(backend, "bw_params: 8 fl_params: 1", "TEST", "normalize: true")


POWERS = "precision: INTEGER_POWER_OF_2_WEIGHTS"


@pytest.mark.parametrize(
    ("layer_type", "settings", "messages"),
    [
        ("FcRistretto", "bw_params: 8 fl_params: 1", []),
        ("FcRistretto", "bw_params: 32 bw_layer_in: 32", []),
        ("FcRistretto", f"{POWERS} exp_min: -4 bw_layer_in: 8 fl_layer_in: 1", []),
        ("LRNRistretto", "precision: MINIFLOAT mant_bits: 3", []),
        (
            "FcRistretto",
            "bw_params: 8",
            ["bw_params has no effect without fl_params or scale_params. Set it, or remove both."],
        ),
        (
            "FcRistretto",
            "bw_layer_in: 8 fl_layer_out: 3",
            [
                "bw_layer_in has no effect without fl_layer_in. Set it, or remove both.",
                "fl_layer_out has no effect without bw_layer_out below 32. Set it, or remove both.",
            ],
        ),
        (
            "FcRistretto",
            "precision: MINIFLOAT mant_bits: 3 bw_layer_in: 8 exp_min: 2",
            [
                "bw_layer_in has no effect with precision: MINIFLOAT. Remove it.",
                "exp_min has no effect with precision: MINIFLOAT. Remove it.",
            ],
        ),
        (
            "FcRistretto",
            f"{POWERS} bw_params: 8 fl_params: 3",
            [
                "bw_params has no effect with precision: INTEGER_POWER_OF_2_WEIGHTS. Remove it.",
                "fl_params has no effect with precision: INTEGER_POWER_OF_2_WEIGHTS. Remove it.",
            ],
        ),
        (
            "FcRistretto",
            "scale_in: 2 force_u8_input: true",
            [
                f"{field} has no effect: grids of bottoms and tops are fl_layer_in and "
                "fl_layer_out here. Remove it."
                for field in ("scale_in", "force_u8_input")
            ],
        ),
        (
            "LRNRistretto",
            "bw_params: 8",
            ["bw_params has no effect: layers of type LRNRistretto have no weights. Remove it."],
        ),
    ],
)
def test_settings_without_effect(layer_type, settings, messages):
    param = LayerParameter(type=layer_type)
    text_format.Parse(settings, param.quantization_param)
    found = list(LAYERS[layer_type].unread_settings(param))
    assert found == [f"quantization_param.{message}" for message in messages]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("bw_params: 4 fl_params: 3", "3, bits w 4"),
        ("bw_params: 4 scale_params: 3 bw_layer_in: 8 fl_layer_in: 2", "3, bits w 4, in 8"),
        ("bw_params: 4 bw_layer_out: 6 fl_layer_out: 2 fl_layer_in: 1", "3, bits out 6"),
        ("precision: INTEGER_POWER_OF_2_WEIGHTS bw_params: 8", "3, bits w 2^-8 to 2^-1"),
        ("precision: MINIFLOAT mant_bits: 3 exp_bits: 4", "3, minifloats of 8 bits"),
        ("precision: MINIFLOAT", "3"),
        ("", "3"),
    ],
)
def test_summaries_name_the_bits(settings, text):
    param = LayerParameter(type="FcRistretto")
    param.inner_product_param.num_output = 3
    text_format.Parse(settings, param.quantization_param)
    assert summary_of(param) == text
