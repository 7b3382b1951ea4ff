"""Which layers may run as one, and that nobody can tell."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends import get_backend
from minicaffe.errors import BackendUnavailable
from minicaffe.net.fusion import find_pairs
from probe import net_from_text

INPUT = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
"""
CONV = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
"""
RELU = 'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }\n'
IP = """
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "ip" top: "ip" }
"""


def pairs(text):
    net = net_from_text(INPUT + text)
    names = [layer.name for layer in net.layers]
    return [(names[i], names[j]) for i, j in find_pairs(net.steps)]


@pytest.fixture
def net():
    try:
        backend = get_backend("onednn")
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    net = net_from_text(INPUT + CONV + RELU + IP, backend=backend)
    net.blobs["data"].data.set(np.random.default_rng(0).standard_normal((2, 3, 6, 5)))
    return net


def absorbed(net):
    return [step.layer.name for step in net.steps if step.is_absorbed]


def test_an_activation_in_place_joins_the_layer_before():
    assert pairs(CONV + RELU + IP) == [("conv", "relu"), ("ip", "relu2")]


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("not in place", CONV + 'layer { name: "r" type: "ReLU" bottom: "conv" top: "r" }'),
        ("a slope", CONV + RELU.replace("}", "relu_param { negative_slope: 0.1 } }")),
        ("another function", CONV + RELU.replace("ReLU", "TanH")),
    ],
)
def test_others_stay_apart(what, text):
    assert pairs(text) == [], what


def test_a_chain_in_place_joins_where_it_can():
    """BatchNorm, Scale and ReLU in place: Scale and ReLU run as one."""
    chain = "".join(
        f'layer {{ name: "{kind}" type: "{kind}" bottom: "conv" top: "conv" }}\n'
        for kind in ("BatchNorm", "Scale", "ReLU")
    )
    assert pairs(CONV + chain) == [("Scale", "ReLU")]


def test_a_whole_pass_fuses_and_parts_show_what_caffe_shows(net):
    net.forward()
    assert absorbed(net) == ["relu", "relu2"]
    fused = net.blobs["conv"].data.get()
    assert (fused == 0).any()
    net.forward(0, net.layer_index("conv"))
    assert absorbed(net) == []
    before = net.blobs["conv"].data.get()
    assert before.min() < 0
    np.testing.assert_allclose(np.maximum(before, 0), fused, rtol=1e-6)
    net.forward(net.layer_index("relu"))
    assert absorbed(net) == ["relu2"]
    np.testing.assert_allclose(net.blobs["conv"].data.get(), fused, rtol=1e-6)


def test_watched_layers_run_one_by_one(net):
    seen = []
    conv = net.layer_index("conv")

    def look(index):
        if index == conv:
            seen.append(net.blobs["conv"].data.get().min())

    net.after_forward.append(look)
    net.forward()
    assert absorbed(net) == []
    assert seen[0] < 0


def test_fusion_outlives_a_reshape(net):
    net.forward()
    net.blobs["data"].reshape((3, 3, 6, 5))
    net.blobs["data"].data.set(np.random.default_rng(1).standard_normal((3, 3, 6, 5)))
    net.forward()
    assert absorbed(net) == ["relu", "relu2"]
    assert net.blobs["conv"].data.get().shape == (3, 4, 4, 3)
    assert net.blobs["conv"].data.get().min() == 0
    assert net.blobs["ip"].data.get().min() == 0
