"""Calls on one thread while other programs use the cores change no bit of a training."""

from __future__ import annotations

from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import pytest
from small_nets import FIXED

from minicaffe.backends import get_backend
from minicaffe.backends.onednn.runtime import brief_run, core_watch, native
from minicaffe.native.library import NativeLibrary

# As LeNet, with fewer channels and images.
LENET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 13 dim: 1 dim: 28 dim: 28 } shape { dim: 13 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 3 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 19 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 21 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  inner_product_param { num_output: 210 weight_filler { type: "xavier" } } }
layer { name: "sig" type: "Sigmoid" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 131 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


class Jumps:
    """A clock that goes on by up to 10 ms each time that it is read, so that pauses come and go."""

    def __init__(self):
        self._steps, self.now_s = np.random.default_rng(7), 100.0

    def __call__(self):
        self.now_s += self._steps.choice([1e-5, 1e-3, 1e-2], p=[0.8, 0.1, 0.1])
        return self.now_s


@pytest.mark.parametrize("threads", [2, 5])
def test_a_training_has_the_same_bits_on_busy_cores(make_solver, monkeypatch, threads):
    """Small convolutions, pairs, inner products, the loss and updates in C, and primitives."""
    monkeypatch.setenv("MINICAFFE_THREADS", str(threads))
    found, numbers = [], []
    for is_busy in (False, True):
        used = set()
        lookup = NativeLibrary.lookup

        def threaded(native, name, used=used, lookup=lookup):
            run = lookup(native, name)
            return lambda *args: used.add((name, args[-1])) or run(*args)

        with ExitStack() as stack:
            stack.enter_context(patch.object(NativeLibrary, "lookup", threaded))
            clock = Jumps() if is_busy else lambda: 100.0
            for module in (core_watch, native, brief_run):
                stack.enter_context(patch.object(module, "perf_counter", clock))
            solver = make_solver(LENET, f"{FIXED} momentum: 0.9", "onednn")
            solver.step(12)
        found.append([p.blob.data.get() for p in solver.net.parameters])
        numbers.append(used)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    if get_backend("onednn").native is not None:
        assert {n for _, n in numbers[0]} == {1, threads}
        changed = {name for name, n in numbers[1] if n == 1} - {
            name for name, n in numbers[0] if n == 1
        }
        assert "small_conv_backward_weights" in changed
        assert "multiply_in_parts" in changed
