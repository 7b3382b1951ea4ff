"""NaN and infinity give values that are not finite at the same places on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from cases import CASES
from cases.case import Case, exactly
from probe import REFERENCE, Probe, make_backend, net_from_text

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

NUMBERS = (np.nan, np.inf, -np.inf)
# Their bottoms are indices.
WITHOUT_VALUES = {"Embed"}
# The reference and Caffe multiply the filters with the zeros of the padding, where a filter that is
# not finite gives NaN. Other backends skip these products.
SKIP_PADDING = {
    *("Convolution", "Convolution3D", "ConvolutionDepthwise", "ConvolutionRistretto"),
    *("Deconvolution", "Deconvolution3D", "DeconvolutionRistretto", "DepthwiseConvolution"),
}
ALL = [
    pytest.param(layer_type, case, id=f"{layer_type}-{case.name.replace(' ', '_')}")
    for layer_type, cases in sorted(CASES.items())
    for case in cases
    if case.bottoms and not case.is_stochastic
]


def sources(probe):
    """Return the arrays that can hold a number that is not finite."""
    layer, case = probe.layer, probe.case
    if probe.gradients or layer.type in WITHOUT_VALUES:
        yield from probe.gradients
    else:
        yield next(iter(probe.bottoms))
    fixed = case.params_without_gradient
    yield from (f"param {i}" for i in range(len(layer.blobs)) if i not in fixed)
    if probe.gradients:
        yield from (f"diff {name}" for name in probe.tops if name not in case.tops_without_gradient)


def run_with(probe, name, number):
    """Run with one value of a bottom, a parameter or a top's gradient replaced by a number."""
    probe.fill_parameters()
    probe.clear_param_diffs()
    inputs = probe.inputs()
    if name in inputs:
        place(inputs[name], number)
    elif name.startswith("param"):
        blob = probe.layer.blobs[int(name.split()[1])]
        values = blob.data.get()
        place(values, number)
        blob.data.set(values)
    tops = {f"top {top}": values for top, values in probe.forward(inputs).items()}
    diffs = probe.top_diffs()
    if name.startswith("diff"):
        place(diffs[name.removeprefix("diff ")], number)
    probe.top_diffs = lambda: diffs
    try:
        return tops | probe.backward()
    finally:
        del probe.top_diffs


def place(values, number):
    if values.size:
        values.reshape(-1)[values.size // 2] = number


def kinds(values, number):
    """Return where values are not finite; for NaN itself, where they are NaN."""
    return np.atleast_1d(np.isnan(values) if np.isnan(number) else ~np.isfinite(values))


@pytest.mark.parametrize(("layer_type", "case"), ALL)
def test_places_of_non_finite_values(layer_type, case, backend):
    if backend.dtype == np.float64:
        pytest.skip("is what the others are compared with")
    reference = Probe(layer_type, case, make_backend(REFERENCE))
    probe = Probe(layer_type, case, backend)
    wrong = []
    for name in sources(probe):
        for number in NUMBERS:
            want, got = run_with(reference, name, number), run_with(probe, name, number)
            for key in want:
                skips_padding = layer_type in SKIP_PADDING
                wrong += differences(key, number, want[key], got[key], name, skips_padding)
    assert not wrong, "\n".join(wrong)


def differences(key, number, want, got, name, may_be_fewer=False):
    """Return a line if `got` is not finite at other places than `want`."""
    w, g = kinds(want, number), kinds(got, number)
    if may_be_fewer and w.any() == g.any():
        w = w & g
    if (w == g).all():
        return []
    at = tuple(np.argwhere(w != g)[0])
    values = np.atleast_1d(got)[at], np.atleast_1d(want)[at]
    return [f"{number} in {name}: {key}{[int(i) for i in at]} is {values[0]}, not {values[1]}"]


@pytest.mark.parametrize(
    ("layer_type", "settings", "values"),
    [
        # What Caffe's loops give for NaN, infinity and -infinity.
        ("AbsVal", "", "nan inf inf"),
        ("BNLL", "", "nan inf 0"),
        ("ELU", "", "nan inf -1"),
        ("Exp", "", "nan inf 0"),
        ("Log", "", "nan inf nan"),
        ("Power", "power_param { power: 2 }", "nan inf inf"),
        ("Power", "power_param { power: 0.5 scale: 0 shift: 4 }", "2 2 2"),
        ("Power", "power_param { scale: 0 }", "0 0 0"),
        ("PReLU", "", "nan inf -inf"),
        ("ReLU", "", "nan inf nan"),
        ("ReLU", "relu_param { negative_slope: 0.5 }", "nan inf -inf"),
        ("Sigmoid", "", "nan 1 0"),
        ("Swish", "", "nan inf nan"),
        ("TanH", "", "nan 1 -1"),
        ("Threshold", "", "0 1 0"),
        # Caffe's comparison gives min for NaN.
        ("Clip", "clip_param { min: -2 max: 3 }", "nan 3 -2"),
    ],
)
@pytest.mark.parametrize("in_place", [False, True])
def test_values_of_activations(layer_type, settings, values, in_place, backend):
    x = np.resize(NUMBERS, (1, 3, 2, 3)).swapaxes(2, 3)
    probe = Probe(
        layer_type, Case("values", settings, {"x": exactly(x)}), backend, in_place=in_place
    )
    for blob in probe.layer.blobs:
        blob.data.set(0.25)
    want = np.resize([float(v) for v in values.split()], (1, 3, 2, 3)).swapaxes(2, 3)
    np.testing.assert_allclose(probe.forward()["y"], want, rtol=1e-6)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("at", range(4))
def test_the_maximum_with_nan_is_nan(number, at, backend):
    """Other values are below 0, so that 0 or the largest of them would show."""
    x = np.full((1, 1, 2, 2), -3.0)
    x.flat[at] = number
    pool = "pooling_param { pool: MAX kernel_size: 2 }"
    case = Case("nan", pool, {"x": exactly(x)})
    want = max(number, -3.0) if number == number else number
    np.testing.assert_array_equal(Probe("Pooling", case, backend).forward()["y"].ravel(), want)
    bottoms = {name: exactly(x[..., k // 2, k % 2]) for k, name in enumerate("abcd")}
    case = Case("nan", "eltwise_param { operation: MAX }", bottoms)
    np.testing.assert_array_equal(Probe("Eltwise", case, backend).forward()["y"].ravel(), want)


def layer(name, kind, bottoms, top, settings=""):
    wires = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {wires} top: "{top}" {settings} }}\n'


FILLERS = 'weight_filler { type: "xavier" } bias_filler { type: "gaussian" }'
CONV = f"convolution_param {{ num_output: 5 kernel_size: 3 {FILLERS} }}"
IP = f"inner_product_param {{ num_output: 5 {FILLERS} }}"
NORMAL = 'filler { type: "gaussian" } bias_filler { type: "gaussian" }'
SCALE = layer("scale", "Scale", "y", "y", f"scale_param {{ bias_term: true {NORMAL} }}")
RELU = layer("relu", "ReLU", "y", "y")
BN = layer("bn", "BatchNorm", "y", "y")
CHAINS = {
    "convolution": layer("a", "Convolution", "x", "y", CONV) + RELU,
    "convolution, scale": layer("a", "Convolution", "x", "y", CONV) + BN + SCALE + RELU,
    "inner product": layer("a", "InnerProduct", "x", "y", IP) + RELU,
    "inner product, scale": layer("a", "InnerProduct", "x", "y", IP) + BN + SCALE + RELU,
    "sum": layer("a", "Eltwise", "x x2", "y") + RELU,
    "scale": SCALE.replace('bottom: "y"', 'bottom: "x"') + RELU,
    "scale of vectors": layer("a", "InnerProduct", "x", "v", IP)
    + SCALE.replace('bottom: "y"', 'bottom: "v"')
    + RELU,
    "batch norm": layer("bn", "BatchNorm", "x", "y") + SCALE + RELU,
}
# cuDNN fuses a ReLU that replaces NaN by 0.
REPLACED_BY_CUDNN = {"convolution", "convolution, scale"}


def chain_net(text, phase, backend):
    """Return a net of x and a chain, with a random sum of its output as loss."""
    shapes = "shape { dim: 3 dim: 5 dim: 7 dim: 6 }"
    inputs = "".join(
        f'layer {{ name: "in_{n}" type: "Input" top: "{n}" input_param {{ {shapes} }} }}\n'
        for n in ("x", "x2")
    )
    loss = layer("loss", "Reduction", "y", "loss", "loss_weight: 1")
    silence = 'layer { name: "s" type: "Silence" bottom: "x2" }' if "x2" not in text else ""
    net = net_from_text(
        f"force_backward: true {inputs}{text}{loss}{silence}", phase, backend=backend
    )
    rng = np.random.default_rng(0)
    for name in ("x", "x2"):
        net.blobs[name].data.set(rng.standard_normal(net.blobs[name].shape))
    for step in net.steps:
        for blob in step.layer.blobs:
            blob.data.set(rng.uniform(0.5, 1.5, blob.shape) * rng.choice((-1, 1), blob.shape))
        if step.layer.type == "BatchNorm":
            for blob in step.layer.blobs:
                blob.data.set(np.ones(blob.shape))
    return net


def run_chain(net, blob, at, number):
    """Run with a number in a blob, then restore the blob; return the output and all gradients."""
    before = blob.data.get()
    values = before.copy()
    values.reshape(-1)[at] = number
    blob.data.set(values)
    net.clear_param_diffs()
    net.forward()
    y = net.blobs["y"].data.get()
    net.backward()
    blob.data.set(before)
    diffs = {"dx": net.blobs["x"].diff.get()}
    for step in net.steps:
        if step.layer.type != "BatchNorm":
            diffs |= {b.name: b.diff.get() for b in step.layer.blobs}
    return {"y": y} | diffs


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("name", CHAINS)
def test_places_of_non_finite_values_behind_fused_layers(name, phase, backend):
    if backend.name == "cuda" and name in REPLACED_BY_CUDNN and backend.device.dnns:
        pytest.skip("cuDNN's ReLU: see backends/cuda/README.md")
    reference = chain_net(CHAINS[name], phase, make_backend(REFERENCE))
    net = chain_net(CHAINS[name], phase, backend)
    wrong = []
    for k, blob in enumerate(blobs(reference)):
        for number in NUMBERS:
            at = blob.data.get().size // 2
            want = run_chain(reference, blob, at, number)
            got = run_chain(net, blobs(net)[k], at, number)
            for key in want:
                wrong += differences(key, number, want[key], got[key], f"{blob.name}")
    assert not wrong, "\n".join(wrong)


def blobs(net):
    """Return the input and the parameters, in order."""
    parameters = [b for s in net.steps for b in s.layer.blobs if s.layer.type != "BatchNorm"]
    return [net.blobs["x"], *parameters]
