"""Memory of tensors is freed by the last reference, without the garbage collector."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from minicaffe.backends.cuda.runtime.format import Format
from probe import net_from_text

CHANNELS_LAST = Format(channels_last=True)
VALUES = np.arange(120.0).reshape(2, 3, 4, 5)
NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "flat" type: "Flatten" bottom: "conv" top: "flat" }
layer { name: "ip" type: "InnerProduct" bottom: "flat" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""


@pytest.fixture(autouse=True)
def _without_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_tensor_with_the_channels_last_is_freed(make_backend, emulated_device):
    backend = make_backend()
    before = emulated_device.heap.used_bytes
    tensor = backend.tensor(VALUES.shape)
    tensor.set(VALUES)
    tensor.change(CHANNELS_LAST)
    assert emulated_device.heap.used_bytes > before
    del tensor
    assert emulated_device.heap.used_bytes == before


def test_a_view_keeps_values_that_only_another_tensor_had(make_backend, emulated_device):
    tensor = make_backend().tensor(VALUES.shape)
    tensor.set(VALUES)
    tensor.change(CHANNELS_LAST)
    view = tensor.view((2, 60))
    del tensor
    np.testing.assert_array_equal(view.get(), VALUES.reshape(2, 60))
    emulated_device.check()


def test_values_that_a_view_has_read_are_not_converted_again(make_backend, emulated_device):
    tensor = make_backend().tensor(VALUES.shape)
    tensor.set(VALUES)
    tensor.change(CHANNELS_LAST)
    view = tensor.view((2, 60))
    view.source()
    before = len(emulated_device.launches)
    tensor.source()
    tensor.source(CHANNELS_LAST)
    assert len(emulated_device.launches) == before


@pytest.mark.parametrize("captures", [False, True])
def test_a_net_is_freed(make_backend, emulated_device, captures):
    """Also after a pass over a part of it, which runs without compilation."""
    backend, used = make_backend(captures=captures), []
    for _ in range(4):
        net = net_from_text(NET, backend=backend)
        for _ in range(4):
            net.forward()
        net.forward(1, 2)
        del net
        used.append(emulated_device.heap.used_bytes)
    # Scratch memory of the first net is used by the others.
    assert used == [used[0]] * 4
