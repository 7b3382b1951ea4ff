"""Whole passes run as compiled programs, with the same values as layer by layer."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends import get_backend
from probe import net_from_text
from recording import RUNS_FIRST, RecordingBackend

TEXT = """
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
"""


def passes(backend, action):
    """Return what forward and backward passes give on other values each, and after `action`."""
    net, found = net_from_text(TEXT, backend=backend), []
    for k in range(2 * RUNS_FIRST + 2):
        if k == RUNS_FIRST + 1:
            action(net)
        x, ip = net.blobs["x"], net.blobs["ip"]
        x.data.set(np.random.default_rng(k).standard_normal(x.shape))
        net.forward()
        ip.diff.set(np.random.default_rng(k).standard_normal(ip.shape))
        net.backward()
        found += [ip.data.get(), x.diff.get()]
    return found


@pytest.mark.parametrize(
    "action",
    [
        lambda net: None,
        lambda net: net.forward(1, 1),
        lambda net: net.blobs["x"].reshape((4, 3)),
        lambda net: net.share_parameters_with(net_from_text(TEXT, backend=net.backend, seed=2)),
        lambda net: setattr(net, "debug_info", True),
    ],
    ids=["nothing", "a part", "a new shape", "other parameters", "watching"],
)
def test_repeated_passes_equal_plain_ones(action):
    backend = RecordingBackend()
    for got, want in zip(
        passes(backend, action), passes(get_backend("reference"), action), strict=True
    ):
        np.testing.assert_array_equal(got, want)
    assert backend.replayed


def test_only_whole_passes_are_repeated():
    backend = RecordingBackend()
    net = net_from_text(TEXT, backend=backend)
    for _ in range(RUNS_FIRST):
        net.forward()
        net.backward()
    assert len(backend.called) == RUNS_FIRST * (3 + 2)
    net.forward()
    net.backward()
    assert backend.replayed == 3 + 2
    net.forward(1, 2)
    net.backward(2, 1)
    assert len(backend.called) == RUNS_FIRST * (3 + 2)
    assert backend.replayed == 3 + 2


@pytest.mark.parametrize("name", ["auto", "reference"])
def test_an_asynchronous_copy_has_the_values_of_its_call(name):
    tensor = get_backend(name).tensor((2, 3))
    tensor.set(np.full((2, 3), 4))
    values = tensor.get_async()
    tensor.set(np.zeros((2, 3)))
    assert values.is_done
    np.testing.assert_array_equal(values.result(), np.full((2, 3), 4))
