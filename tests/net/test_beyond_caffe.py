"""Nets that Caffe refuses or gets wrong; docs/migrating.md lists them under "What differs"."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.net import Net
from probe import net_from_text


def input_net(layers: str, *shapes: tuple[int, ...], head: str = "force_backward: true") -> Net:
    """Return a net of Inputs a, b, ... with ascending values, and these layers."""
    names = "abc"[: len(shapes)]
    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }\n"
        for name, shape in zip(names, shapes, strict=True)
    )
    net = net_from_text(f"{head}\n{inputs}{layers}")
    for name, shape in zip(names, shapes, strict=True):
        size = int(np.prod(shape))
        net.blobs[name].data.set(np.arange(size).reshape(shape) / size)
    return net


def layer(name: str, layer_type: str, bottoms: str, rest: str = "", top: str = "") -> str:
    blobs = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
    return f'layer {{ name: "{name}" type: "{layer_type}" {blobs} top: "{top or name}" {rest} }}\n'


RECURRENT = 'recurrent_param { num_output: 3 weight_filler { type: "gaussian" std: 0.5 } }'


@pytest.mark.parametrize("recurrent", ["LSTM", "RNN"])
def test_flatten_behind_a_recurrent_layer_passes_the_gradient_on(recurrent):
    found = []
    for tail in (layer("f", "Flatten", "r"), ""):
        net = input_net(layer("r", recurrent, "ab", RECURRENT) + tail, (2, 4, 5), (2, 4))
        net.blobs["b"].data.set(np.ones((2, 4)))
        net.forward()
        top = net.blobs["f" if tail else "r"]
        top.diff.set(np.arange(24).reshape(top.shape))
        net.clear_param_diffs()
        net.backward()
        found.append([net.blobs["a"].diff.get(), *(p.blob.diff.get() for p in net.parameters)])
    assert all(np.abs(values).max() > 0 for values in found[0])
    for values, expected in zip(*found, strict=True):
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


def test_a_loss_of_several_values_keeps_its_weight_when_the_batch_grows():
    net = input_net(layer("r", "ReLU", "a", "loss_weight: 3"), (2, 3))
    for rows in (2, 5):
        net.blobs["a"].reshape((rows, 3))
        net.blobs["a"].data.set(np.ones((rows, 3)))
        net.forward()
        net.backward()
        np.testing.assert_array_equal(net.blobs["a"].diff.get(), np.full((rows, 3), 3))


@pytest.mark.parametrize(
    ("layer_type", "shapes"),
    [
        ("Accuracy", [(4, 5), (4,)]),
        ("ArgMax", [(4, 5)]),
        ("BatchReindex", [(4, 5), (3,)]),
        ("Filter", [(4, 5), (4,)]),
        ("Embed", [(4,)]),
        ("InfogainLoss", [(4, 5), (4,), (1, 1, 5, 5)]),
    ],
)
def test_force_backward_leaves_indices_out(layer_type, shapes):
    rest = "embed_param { input_dim: 5 num_output: 2 }" if layer_type == "Embed" else ""
    net = input_net(layer("y", layer_type, "abc"[: len(shapes)], rest), *shapes)
    for name in "abc"[: len(shapes)]:
        if len(net.blobs[name].shape) == 1:
            net.blobs[name].data.set(np.arange(net.blobs[name].count) % 2)
    net.forward()
    net.blobs["y"].diff.set(np.ones(net.blobs["y"].shape))
    net.backward()


@pytest.mark.parametrize(
    ("layer_type", "shape"),
    [
        ("PReLU", (2, 3, 2, 2, 3)),
        ("MVN", (2, 3, 2, 2, 3)),
        ("BatchNorm", (4,)),
    ],
)
def test_any_number_of_axes(layer_type, shape):
    net = input_net(layer("y", layer_type, "a"), shape)
    net.forward()
    assert net.blobs["y"].shape == shape
    assert np.isfinite(net.blobs["y"].data.get()).all()


def test_scale_of_one_axis_by_a_scalar():
    net = input_net(layer("y", "Scale", "ab", "scale_param { axis: 0 }"), (4,), ())
    net.blobs["b"].data.set(3)
    net.forward()
    np.testing.assert_allclose(net.blobs["y"].data.get(), [0, 0.75, 1.5, 2.25])


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4)])
def test_mvn_keeps_the_number_of_axes(shape):
    net = input_net(layer("y", "MVN", "a", "mvn_param { across_channels: true }"), shape)
    net.forward()
    assert net.blobs["y"].shape == shape


@pytest.mark.parametrize("layer_type", ["AbsVal", "BNLL", "LRN", "MVN"])
def test_gradients_in_place_are_those_of_a_top_of_its_own(layer_type):
    found = []
    for top in ("a", "y"):
        net = input_net(layer("y", layer_type, "a", top=top), (2, 3, 2, 2))
        values = np.arange(24).reshape(2, 3, 2, 2) - 9.5
        net.blobs["a"].data.set(values)
        net.forward()
        net.blobs[top].diff.set(np.cos(values))
        net.backward()
        found.append(net.blobs["a"].diff.get())
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer_type", ["BatchNorm", "LRN", "MVN", "Softmax"])
def test_propagate_down_false_is_heeded(layer_type):
    text = (
        layer("i", "InnerProduct", "a", "inner_product_param { num_output: 3 axis: 1 }")
        + layer("r", "Reshape", "i", "reshape_param { shape { dim: 0 dim: 3 dim: 1 dim: 1 } }")
        + layer("y", layer_type, "r", "propagate_down: false loss_weight: 1")
    )
    net = input_net(text, (2, 3), head="")
    net.blobs["r"].diff.set(np.full((2, 3, 1, 1), 7))
    net.forward()
    net.backward()
    assert (net.blobs["r"].diff.get() == 7).all()


def test_a_loss_with_two_tops_needs_no_weights():
    net = input_net(
        'layer { name: "l" type: "SoftmaxWithLoss" bottom: "a" bottom: "b" top: "l" top: "p" }',
        *((2, 3), (2,)),
    )
    assert net.loss_weights() == {"l": 1}


def test_a_weighted_loss_that_is_read_counts_once():
    net = input_net(
        layer("l", "EuclideanLoss", "ab", "loss_weight: 0.5") + layer("p", "Power", "l"),
        *((2, 3), (2, 3)),
    )
    net.blobs["b"].data.set(np.zeros((2, 3)))
    net.forward()
    assert net.loss() == pytest.approx(0.5 * float(net.blobs["l"].data.get()))
