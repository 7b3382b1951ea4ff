"""BatchNorm and Scale are folded into the preceding convolution in the TEST phase."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends import get_backend
from probe import net_from_text
from tolerances import Tolerance, assert_close

SHAPE = (2, 6, 7, 5)
INPUT = f"""
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ {" ".join(f"dim: {n}" for n in SHAPE)} }} }} }}
"""
BATCH_NORM = 'layer { name: "bn" type: "BatchNorm" bottom: "y" top: "y" }\n'
SCALE = """
layer { name: "scale" type: "Scale" bottom: "y" top: "y" scale_param { bias_term: true } }
"""
FACTOR = 'layer { name: "factor" type: "Scale" bottom: "y" top: "y" }\n'
RELU = 'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }\n'
COLUMN = """
layer { name: "column" type: "Scale" bottom: "y" top: "y"
  scale_param { axis: 2 num_axes: 1 } }
"""
ALLOWED = {
    "fp32": Tolerance(1e-4, 1e-5),
    "bf16": Tolerance(0.03, 0.03),
    "fp16": Tolerance(0.005, 0.005),
}


def convolution(settings="", layer_type="Convolution"):
    return f"""
layer {{ name: "conv" type: "{layer_type}" bottom: "data" top: "y"
  convolution_param {{ num_output: 9 kernel_size: 3 {settings} }} }}
"""


# What follows what, and which layers the convolution does.
CHAINS = {
    "all": (convolution() + BATCH_NORM + SCALE + RELU, ["bn", "scale", "relu"]),
    "no bias": (
        convolution("bias_term: false") + BATCH_NORM + FACTOR + RELU,
        ["bn", "factor", "relu"],
    ),
    "groups": (convolution("group: 3") + BATCH_NORM + SCALE, ["bn", "scale"]),
    "statistics alone": (convolution() + BATCH_NORM, ["bn"]),
    "Scale alone": (convolution("bias_term: false") + SCALE + RELU, ["scale", "relu"]),
    "a factor alone": (convolution("bias_term: false") + FACTOR, ["factor"]),
    "two Scales": (convolution() + SCALE + FACTOR + RELU, ["scale"]),
    "rows are scaled": (convolution() + COLUMN + RELU, []),
    "transposed": (convolution("", "Deconvolution") + BATCH_NORM + RELU, []),
}


def make(text, backend):
    net = net_from_text(INPUT + text, "TEST", backend=backend)
    change(net, 1)
    return net


def change(net, seed):
    """Set input and parameters to something else."""
    rng = np.random.default_rng(seed)
    net.blobs["data"].data.set(rng.standard_normal(SHAPE))
    for layer in net.layers:
        for blob in layer.blobs:
            values = rng.uniform(0.5, 2, blob.shape)
            blob.data.set(
                values * rng.choice([-1, 1], blob.shape) if layer.name == "conv" else values
            )


def fused(net):
    return [step.layer.name for step in net.steps if step.is_fused]


def check(net, expected, precision="fp32"):
    net.forward()
    expected.forward()
    assert_close(net.blobs["y"].data.get(), expected.blobs["y"].data.get(), ALLOWED[precision], "y")


@pytest.mark.parametrize("has_dnn", [True, False], ids=["dnn", "columns"])
@pytest.mark.parametrize("chain", sorted(CHAINS))
def test_what_is_folded_shows_what_caffe_shows(make_backend, chain, has_dnn):
    text, together = CHAINS[chain]
    net, expected = make(text, make_backend(has_dnn)), make(text, get_backend("reference"))
    check(net, expected)
    assert fused(net) == together


@pytest.mark.parametrize("has_dnn", [True, False], ids=["dnn", "columns"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_short_values(make_backend, precision, has_dnn):
    text, together = CHAINS["all"]
    net = make(text, make_backend(has_dnn, precision=precision))
    check(net, make(text, get_backend("reference")), precision)
    assert fused(net) == together


def test_changed_numbers_are_seen_by_what_is_captured(make_backend, emulated_device):
    text, _ = CHAINS["all"]
    net, expected = make(text, make_backend()), make(text, get_backend("reference"))
    for seed in range(6):
        change(net, seed)
        change(expected, seed)
        check(net, expected)
    assert emulated_device.counts["replay"]
    for one in (net, expected):
        # No statistics at all: Caffe takes mean and variance as 0.
        one.layers[one.layer_index("bn")].blobs[2].data.set([0])
    check(net, expected)
