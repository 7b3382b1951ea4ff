"""Fusion of layers: which chains are fused, and that values are those of separate layers."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends import get_backend
from minicaffe.errors import BackendUnavailable
from minicaffe.net.fusion import find_chains
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


CHAIN = "".join(
    f'layer {{ name: "{name}" type: "{kind}" bottom: "conv" top: "conv" {settings} }}\n'
    for name, kind, settings in (
        ("bn", "BatchNorm", ""),
        ("scale", "Scale", "scale_param { bias_term: true }"),
        ("relu", "ReLU", ""),
    )
)
IP_CHAIN = IP.split('layer { name: "relu2"')[0] + CHAIN.replace('"conv"', '"ip"').replace(
    'name: "', 'name: "ip_'
)


def chains(text):
    net = net_from_text(INPUT + text)
    names = [layer.name for layer in net.layers]
    return [(names[i], *[names[j] for j in others]) for i, others in find_chains(net.steps)]


@pytest.fixture
def backend():
    try:
        return get_backend("onednn")
    except BackendUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def net(backend):
    net = net_from_text(INPUT + CONV + RELU + IP, backend=backend)
    net.blobs["data"].data.set(np.random.default_rng(0).standard_normal((2, 3, 6, 5)))
    return net


def fused(net):
    return [step.layer.name for step in net.steps if step.is_fused]


def test_an_activation_in_place_joins_the_layer_before():
    assert chains(CONV + RELU + IP) == [("conv", "relu"), ("ip", "relu2")]


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("not in place", CONV + 'layer { name: "r" type: "ReLU" bottom: "conv" top: "r" }'),
        ("another function", CONV + RELU.replace("ReLU", "TanH")),
    ],
)
def test_others_stay_apart(what, text):
    assert chains(text) == [], what


def test_a_chain_in_place_joins_as_a_whole():
    """Each of its layers may begin one, too: what the first cannot fuse, the next may."""
    assert chains(CONV + CHAIN) == [
        ("conv", "bn", "scale", "relu"),
        ("bn", "scale", "relu"),
        ("scale", "relu"),
    ]


def test_a_slope_is_not_absorbed(backend):
    slope = RELU.replace("}", "relu_param { negative_slope: 0.1 } }")
    net = net_from_text(INPUT + CONV + slope, backend=backend)
    net.forward()
    assert fused(net) == []


def test_a_whole_pass_fuses_and_parts_show_what_caffe_shows(net):
    net.forward()
    assert fused(net) == ["relu", "relu2"]
    conv = net.blobs["conv"].data.get()
    assert (conv == 0).any()
    net.forward(0, net.layer_index("conv"))
    assert fused(net) == []
    before = net.blobs["conv"].data.get()
    assert before.min() < 0
    np.testing.assert_allclose(np.maximum(before, 0), conv, rtol=1e-6)
    net.forward(net.layer_index("relu"))
    assert fused(net) == ["relu2"]
    np.testing.assert_allclose(net.blobs["conv"].data.get(), conv, rtol=1e-6)


def test_layers_with_hooks_run_one_by_one(net):
    seen = []
    conv = net.layer_index("conv")

    def look(index):
        if index == conv:
            seen.append(net.blobs["conv"].data.get().min())

    net.after_forward.append(look)
    net.forward()
    assert fused(net) == []
    assert seen[0] < 0


def test_fusion_outlives_a_reshape(net):
    net.forward()
    net.blobs["data"].reshape((3, 3, 6, 5))
    net.blobs["data"].data.set(np.random.default_rng(1).standard_normal((3, 3, 6, 5)))
    net.forward()
    assert fused(net) == ["relu", "relu2"]
    assert net.blobs["conv"].data.get().shape == (3, 4, 4, 3)
    assert net.blobs["conv"].data.get().min() == 0
    assert net.blobs["ip"].data.get().min() == 0


def chained(backend, phase="TEST", text=CONV + CHAIN + IP_CHAIN):
    """Return a net with chains after a convolution and an inner product, with values set."""
    net = net_from_text("force_backward: true" + INPUT + text, phase, backend=backend)
    rng = np.random.default_rng(3)
    net.blobs["data"].data.set(rng.standard_normal((2, 3, 6, 5)))
    for layer in net.layers:
        for blob in layer.blobs:
            blob.data.set(rng.uniform(0.5, 2, blob.shape))
    return net


def check_equal(net, expected):
    for name, blob in net.blobs.items():
        np.testing.assert_allclose(
            blob.data.get(), expected.blobs[name].data.get(), rtol=1e-4, atol=1e-5, err_msg=name
        )


def test_stored_statistics_and_scales_join_while_testing(backend):
    net, expected = chained(backend), chained(get_backend("reference"))
    net.forward()
    expected.forward()
    assert fused(net) == ["bn", "scale", "relu", "ip_bn", "ip_scale", "ip_relu"]
    check_equal(net, expected)


def test_changed_numbers_are_seen(backend):
    net, expected = chained(backend), chained(get_backend("reference"))
    net.forward()
    for one in (net, expected):
        for name in ("conv", "bn", "scale", "ip_bn", "ip_scale"):
            for blob in one.layers[one.layer_index(name)].blobs:
                blob.data.host()[...] *= 1.5
        one.forward()
    check_equal(net, expected)
    for one in (net, expected):
        bn = one.layers[one.layer_index("bn")]
        bn.blobs[2].data.set([0])  # no statistics at all: Caffe takes mean and variance as 0
        one.forward()
    check_equal(net, expected)


def test_a_part_of_a_chain_shows_what_caffe_shows(backend):
    net, expected = chained(backend), chained(get_backend("reference"))
    for one in (net, expected):
        one.forward()
        one.forward(0, one.layer_index("bn"))
    assert fused(net) == ["bn"]
    check_equal(net, expected)
    for one in (net, expected):
        one.forward(one.layer_index("scale"))
    assert fused(net) == ["relu", "ip_bn", "ip_scale", "ip_relu"]
    check_equal(net, expected)
    net.forward()
    assert fused(net) == ["bn", "scale", "relu", "ip_bn", "ip_scale", "ip_relu"]


def test_backward_while_testing_takes_chains_apart(backend):
    net, expected = chained(backend), chained(get_backend("reference"))
    for one in (net, expected):
        one.forward()
        for _ in range(2):
            one.blobs["ip"].diff.set(np.random.default_rng(4).standard_normal((2, 5)))
            one.clear_param_diffs()
            one.backward()
            one.forward()
    assert fused(net) == ["relu", "ip_relu"]
    check_equal(net, expected)
    for layer, other in zip(net.layers, expected.layers, strict=True):
        for blob, wanted in zip(layer.blobs, other.blobs, strict=True):
            np.testing.assert_allclose(
                blob.diff.get(), wanted.diff.get(), rtol=1e-3, atol=1e-4, err_msg=layer.name
            )
    found, wanted = net.blobs["data"].diff.get(), expected.blobs["data"].diff.get()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "%s" bottom: "wanted" top: "loss" }\n'
TRAINED = CONV + CHAIN + IP_CHAIN + LOSS % "ip"
WANTED = """
layer { name: "wanted" type: "Input" top: "wanted" input_param { shape { dim: 2 dim: 5 } } }
"""


def trained(backend, text=TRAINED):
    return chained(backend, "TRAIN", WANTED + text)


def check_trained(net, expected):
    check_equal(net, expected)
    pairs = zip(net.layers, expected.layers, strict=True)
    blobs = [
        (f"{layer.name}[{i}]", blob, wanted)
        for layer, other in pairs
        for i, (blob, wanted) in enumerate(zip(layer.blobs, other.blobs, strict=True))
    ]
    blobs += [(name, blob, expected.blobs[name]) for name, blob in net.blobs.items()]
    for name, blob, wanted in blobs:
        for what in ("data", "diff"):
            found, right = getattr(blob, what).get(), getattr(wanted, what).get()
            scale = max(1, abs(right).max())
            np.testing.assert_allclose(found, right, rtol=1e-3, atol=1e-4 * scale, err_msg=name)


def test_batch_statistics_scale_and_relu_join_while_training(backend):
    """Gradients are added up over passes, statistics go on."""
    net, expected = trained(backend), trained(get_backend("reference"))
    for one in (net, expected):
        for _ in range(2):
            one.forward()
            one.backward()
    assert fused(net) == ["scale", "relu", "ip_scale", "ip_relu"]
    assert [s.layer.name for s in net.steps if s.is_fused_backward] == fused(net)
    check_trained(net, expected)


def apart(blob, prefix=""):
    """A chain whose BatchNorm has a top of its own; the layers after it work in place on that."""
    top, name = f'top: "{blob}_bn"', f'layer {{ name: "{prefix}'
    return (
        f'{name}bn" type: "BatchNorm" bottom: "{blob}" {top} }}\n'
        f'{name}scale" type: "Scale" bottom: "{blob}_bn" {top} scale_param {{ bias_term: true }} }}'
        f'\n{name}relu" type: "ReLU" bottom: "{blob}_bn" {top} }}\n'
    )


APART = (
    CONV
    + apart("conv")
    + IP.split('layer { name: "relu2"')[0].replace('bottom: "conv"', 'bottom: "conv_bn"')
    + apart("ip", "ip_")
    + LOSS % "ip_bn"
)


def test_batch_norm_with_a_top_of_its_own_joins_while_training(backend):
    """The convolution's output and all gradients stay to be seen."""
    net, expected = trained(backend, APART), trained(get_backend("reference"), APART)
    for one in (net, expected):
        for _ in range(2):
            one.forward()
            one.backward()
    assert fused(net) == ["scale", "relu", "ip_scale", "ip_relu"]
    assert [s.layer.name for s in net.steps if s.is_fused_backward] == fused(net)
    check_trained(net, expected)
    for one in (net, expected):
        one.backward(end=one.layer_index("scale"))
    check_trained(net, expected)
    for one in (net, expected):
        one.backward(one.layer_index("bn"))
    check_trained(net, expected)


def test_live_views_of_joined_layers_show_what_caffe_shows(backend):
    net, expected = trained(backend, APART), trained(get_backend("reference"), APART)
    blobs = [(name, net.blobs[name]) for name in net.blobs if name != "data"]
    views = {name: (blob.data.host(), blob.diff.host()) for name, blob in blobs}
    for one in (net, expected):
        one.forward()
        one.backward()
    assert fused(net) == ["scale", "relu", "ip_scale", "ip_relu"]
    check_trained(net, expected)
    for name, (data, diff) in views.items():
        wanted = expected.blobs[name]
        np.testing.assert_allclose(data, wanted.data.get(), rtol=1e-3, atol=1e-3, err_msg=name)
        np.testing.assert_allclose(diff, wanted.diff.get(), rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("text", [TRAINED, APART], ids=["in place", "apart"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_without_relu_and_bias(backend, bias, text):
    text = text.replace("bias_term: true", f"bias_term: {str(bias).lower()}")
    text = "".join(line for line in text.splitlines(keepends=True) if "ReLU" not in line)
    net, expected = trained(backend, text), trained(get_backend("reference"), text)
    for one in (net, expected):
        one.forward()
        one.backward()
    assert fused(net) == ["scale", "ip_scale"]
    check_trained(net, expected)


def test_a_net_prepared_for_training_runs_its_tasks_in_order(backend):
    """Layers in the TEST phase need their own forward pass as soon as there is a backward one."""
    text = TRAINED.replace('type: "BatchNorm"', 'type: "BatchNorm" phase: TEST')
    net, expected = trained(backend, text), trained(get_backend("reference"), text)
    net.forward()
    assert "bn" in fused(net)
    net.prepare_training()
    assert "bn" not in fused(net)
    for task in (*net.forward_tasks(), *net.backward_tasks()):
        task()
    expected.forward()
    expected.backward()
    check_trained(net, expected)


@pytest.mark.parametrize("cut", ["scale", "bn", "relu"])
def test_a_backward_pass_in_parts_shows_what_caffe_shows(backend, cut):
    net, expected = trained(backend), trained(get_backend("reference"))
    for one in (net, expected):
        one.forward()
        one.backward(end=one.layer_index(cut))
    check_trained(net, expected)
    for one in (net, expected):
        one.backward(one.layer_index(cut) - 1)
        one.clear_param_diffs()
        one.forward()
        one.backward()
    assert fused(net) == ["scale", "relu", "ip_scale", "ip_relu"]
    check_trained(net, expected)


def test_a_backward_pass_with_hooks_runs_layer_by_layer(backend):
    net, expected = trained(backend), trained(get_backend("reference"))
    seen = {id(net): [], id(expected): []}
    for one in (net, expected):
        one.forward()
        one.after_backward.append(
            lambda i, one=one: seen[id(one)].append(abs(one.blobs["conv"].diff.get()).sum())
        )
        one.backward()
    np.testing.assert_allclose(seen[id(net)], seen[id(expected)], rtol=1e-3, atol=1e-4)
    check_trained(net, expected)


def test_frozen_layers_below_leave_scale_its_own_gradient(backend):
    text = TRAINED.replace(
        'bottom: "data" top: "conv"',
        'bottom: "data" top: "conv" param { lr_mult: 0 } param { lr_mult: 0 }',
    )
    nets = []
    for one in (backend, get_backend("reference")):
        net = net_from_text(INPUT + WANTED + text, backend=one)
        rng = np.random.default_rng(3)
        for layer in net.layers:
            for blob in layer.blobs:
                blob.data.set(rng.uniform(0.5, 2, blob.shape))
        net.blobs["data"].data.set(rng.standard_normal((2, 3, 6, 5)))
        net.forward()
        net.backward()
        nets.append(net)
    assert fused(nets[0]) == ["relu", "ip_scale", "ip_relu"]
    scale = [net.layers[net.layer_index("scale")] for net in nets]
    for blob, wanted in zip(scale[0].blobs, scale[1].blobs, strict=True):
        np.testing.assert_allclose(blob.diff.get(), wanted.diff.get(), rtol=1e-3, atol=1e-4)
