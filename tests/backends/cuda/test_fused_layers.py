"""Fused layers of the cuda backend give the results of separate layers."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends import get_backend
from probe import EMULATED, make_backend, net_from_text

NET = """
force_backward: true
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: BIAS } }
RELU
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
"""
RELU = 'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }'
VARIANTS = {
    "all": (NET.replace("BIAS", "true").replace("RELU", RELU), ["scale", "relu"]),
    "no ReLU": (NET.replace("BIAS", "true").replace("RELU", ""), ["scale"]),
    "no bias": (NET.replace("BIAS", "false").replace("RELU", RELU), ["scale", "relu"]),
}


@pytest.fixture(params=sorted(EMULATED))
def backend(request):
    return make_backend(request.param)


def filled(text, phase, backend):
    net = net_from_text(text, phase, backend=backend)
    rng = np.random.default_rng(3)
    net.blobs["data"].data.set(rng.standard_normal((2, 3, 6, 5)))
    for layer in net.layers:
        for blob in layer.blobs:
            blob.data.set(rng.uniform(0.5, 2, blob.shape))
    return net


def fused(net):
    return [step.layer.name for step in net.steps if step.is_fused]


def train(net):
    net.clear_param_diffs()
    net.forward()
    net.blobs["pool"].diff.set(np.random.default_rng(4).standard_normal((2, 5, 1, 1)))
    net.backward()


def check_equal(net, expected, with_diffs=True):
    for name, blob in net.blobs.items():
        check_close(blob.data, expected.blobs[name].data, name)
    for layer, other in zip(net.layers, expected.layers, strict=True):
        for blob, wanted in zip(layer.blobs, other.blobs, strict=True):
            check_close(blob.data, wanted.data, layer.name)
            if with_diffs:
                check_close(blob.diff, wanted.diff, layer.name)
    if with_diffs:
        check_close(net.blobs["data"].diff, expected.blobs["data"].diff, "data")


def check_close(got, want, name):
    np.testing.assert_allclose(got.get(), want.get(), rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_training_in_one_pass_is_training_apart(variant, backend):
    text, together = VARIANTS[variant]
    net, expected = filled(text, "TRAIN", backend), filled(text, "TRAIN", get_backend("reference"))
    for _ in range(2):
        train(net)
        train(expected)
        assert fused(net) == together
        check_equal(net, expected)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_testing_in_one_pass_is_testing_apart(variant, backend):
    text, together = VARIANTS[variant]
    net, expected = filled(text, "TEST", backend), filled(text, "TEST", get_backend("reference"))
    net.forward()
    expected.forward()
    assert fused(net) == ["bn", *together]
    check_equal(net, expected, with_diffs=False)
    # From the first backward pass on the layers are apart.
    for _ in range(2):
        train(net)
        train(expected)
        check_equal(net, expected)
    assert not {"bn", "scale"} & {*fused(net)}


def test_a_part_of_a_backward_pass_takes_the_layers_apart(backend):
    text, _ = VARIANTS["all"]
    net, expected = filled(text, "TRAIN", backend), filled(text, "TRAIN", get_backend("reference"))
    for one in (net, expected):
        one.clear_param_diffs()
        one.forward()
        one.blobs["pool"].diff.set(np.random.default_rng(4).standard_normal((2, 5, 1, 1)))
        one.backward(one.layer_index("pool"), one.layer_index("scale"))
    check_close(net.blobs["conv"].diff, expected.blobs["conv"].diff, "conv")
    check_equal(net, expected, with_diffs=False)


@pytest.mark.parametrize("n", [2, 3])
def test_a_residual_sum_is_rectified_in_the_same_pass(n, backend):
    inputs = [chr(ord("a") + i) for i in range(n)]
    text = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        "input_param { shape { dim: 2 dim: 3 dim: 5 dim: 7 } } }\n"
        for name in inputs
    )
    bottoms = " ".join(f'bottom: "{name}"' for name in inputs)
    text += f'layer {{ name: "sum" type: "Eltwise" {bottoms} top: "y" }}\n'
    text += 'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }'
    net = net_from_text(text, backend=backend)
    values = np.random.default_rng(6).standard_normal((n, 2, 3, 5, 7))
    for name, x in zip(inputs, values, strict=True):
        net.blobs[name].data.set(x)
    net.forward()
    assert fused(net) == ["relu"]
    np.testing.assert_allclose(net.blobs["y"].data.get(), np.maximum(values.sum(0), 0), atol=1e-5)
    net.forward(0, net.layer_index("sum"))
    np.testing.assert_allclose(net.blobs["y"].data.get(), values.sum(0), atol=1e-5)
