"""Gradients that are sums or copies of others: how long their terms live, and what is stored."""

from __future__ import annotations

import numpy as np
import pytest
from test_training_memory import RESNET, conv, layer, loss

from minicaffe.backends.onednn.kernels.layout import OneDnnAdd
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import BackendUnavailable
from minicaffe.net.memory.deferral import keep_terms, share_copied_gradients
from minicaffe.net.memory.lifetimes import (
    LiveRange,
    backward_time,
    find_gradient_ranges,
    share_gradients_in_place,
)
from probe import make_backend, net_from_text

INPUT = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 5 dim: 3 dim: 19 dim: 17 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 5 } } }
"""


def build(text, backend=None):
    net = net_from_text(INPUT + text, "TRAIN", backend=backend or ReferenceBackend())
    values = np.random.default_rng(7).standard_normal(net.blobs["data"].shape)
    net.blobs["data"].data.set(values)
    return net


def planned(text):
    """Return a net, the ranges of its gradients, and the owners of those that are sums."""
    net = build(text)
    ranges = find_gradient_ranges(net.steps)
    share_gradients_in_place(net.steps, ranges)
    share_copied_gradients(net.steps, ranges)
    return net, ranges, keep_terms(net.steps, ranges)


def time_of(net, name):
    return backward_time(net.steps, net.layer_index(name))


def test_residual_blocks_defer_what_a_layer_in_place_overwrites():
    net, ranges, sums = planned(RESNET)
    # The sums of two readers, and the copies that BatchNorm overwrites.
    names = ("stem", "x", "y", "x2", "y2", "z2")
    assert sums == {net.blobs[name].diff_owner for name in names}
    # The shortcut's gradient is that of the sum.
    shortcut = next(blob for blob in net.steps[net.layer_index("y")].bottom if blob.name != "y2")
    assert net.blobs["y"].diff is shortcut.diff
    assert net.blobs["y"] not in ranges
    # The terms of the gradient of x live until ReLU has added them.
    split = next(s for s in net.steps if s.layer.type == "Split" and s.bottom[0].name == "x")
    assert {ranges[blob.diff_owner].last for blob in split.top} == {time_of(net, "xr")}


def test_copies_live_until_the_fusing_layer_overwrites_them():
    two = conv("a", "data") + conv("b", "data") + layer("a/bn", "BatchNorm", "a", "a")
    two += layer("a/scale", "Scale", "a", "a") + layer("b/relu", "ReLU", "b", "b")
    net, ranges, sums = planned(two + layer("sum", "Eltwise", "a b") + loss("sum"))
    # The gradient of "a" is needed longest and is that of the sum; "b" is overwritten before.
    assert net.blobs["sum"].diff is net.blobs["a"].diff
    assert sums == {net.blobs["b"]}
    assert ranges[net.blobs["a"]] == LiveRange(time_of(net, "loss/ip"), time_of(net, "a"))


@pytest.mark.parametrize(
    "settings",
    ["operation: PROD", "operation: MAX", "coeff: 1 coeff: -1"],
)
def test_other_gradients_are_apart(settings):
    text = conv("a", "data") + layer("r", "ReLU", "a", "a") + conv("b", "data")
    text += layer("e", "Eltwise", "a b", "", f"eltwise_param {{ {settings} }}") + loss("e")
    _, ranges, sums = planned(text)
    assert not sums
    assert {"a", "b", "e"} <= {blob.name for blob in ranges}


def test_sums_that_are_read_otherwise_are_computed_at_once():
    text = conv("a", "data") + conv("b", "a") + conv("c", "a") + layer("e", "Eltwise", "b c")
    _, _, sums = planned(text + loss("e"))
    assert not sums


@pytest.fixture
def onednn_net():
    """A residual net on the oneDNN backend with C kernels, whose gradients share memory."""
    try:
        backend = make_backend("onednn")
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    if backend.native is None:
        pytest.skip("the C kernels are not compiled")
    net = build(RESNET, backend)
    net.shared_memory.share_gradients()
    return net


def run(net):
    net.clear_param_diffs()
    net.forward()
    net.backward()


def test_residual_blocks_store_no_sum_and_no_copy(onednn_net, monkeypatch):
    run(onednn_net)
    stored = []
    monkeypatch.setattr(OneDnnAdd, "_add", lambda kernel, terms, y: stored.append(y))
    monkeypatch.setattr(OneDnnTensor, "copy_from", lambda *_: pytest.fail("a copy was stored"))
    run(onednn_net)
    # BatchNorm, whose ReLU is fused, reads the gradient twice.
    assert stored == [onednn_net.blobs["stem"].diff]


def test_a_pass_that_ended_early_leaves_no_trace(onednn_net):
    """The sums that it did not read must not be computed later, over gradients of another pass."""
    run(onednn_net)
    want = [p.blob.diff.get() for p in onednn_net.parameters]
    for name in ("y", "xr", "x"):
        onednn_net.forward()
        onednn_net.backward(end=onednn_net.layer_index(name))
    run(onednn_net)
    for p, values in zip(onednn_net.parameters, want, strict=True):
        np.testing.assert_array_equal(p.blob.diff.get(), values)
