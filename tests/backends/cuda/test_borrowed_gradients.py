"""Gradients that equal another gradient are not copied, and nothing else changes."""

from __future__ import annotations

import disturbed_training
import numpy as np
import pytest

from minicaffe.backends.cuda.runtime.device_tensor import DeviceTensor
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.ops.eltwise import Eltwise
from minicaffe.ops.layout import Add
from minicaffe.ops.scale import Scale

SHAPE = (2, 8, 5, 3)
LAST = Format(True)


def gradient(backend, form=LAST, seed=0):
    tensor = backend.gradient(SHAPE)
    tensor.set(np.random.default_rng(seed).standard_normal(SHAPE))
    tensor.change(form)
    return tensor


def sum_backward(backend, dy, *coefficients, dxs=None):
    """Run the gradient of a sum; return the gradients of its inputs."""
    xs = [backend.tensor(SHAPE) for _ in coefficients]
    y = backend.tensor(SHAPE)
    dxs = dxs or [backend.gradient(SHAPE) for _ in coefficients]
    kernel = backend.plan(Eltwise("sum", coefficients), *xs, y)
    kernel.backward(xs, y, dy, dxs)
    return dxs


def launches_of(device, work):
    before = len(device.launches)
    found = work()
    return found, len(device.launches) - before


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_gradients_of_coefficient_1_are_not_written(make_backend, emulated_device, precision):
    backend = make_backend(precision=precision)
    dy = gradient(backend, backend.format)
    want = dy.get()
    dxs, n = launches_of(emulated_device, lambda: sum_backward(backend, dy, 1.0, 1.0))
    assert n == 0
    addresses = {tensor.source(backend.format) for tensor in (dy, *dxs)}
    assert len(addresses) == 1
    for dx in dxs:
        np.testing.assert_array_equal(dx.get(), want)
    dxs, n = launches_of(emulated_device, lambda: sum_backward(backend, dy, 1.0, -0.5, 1.0))
    assert n == 1
    for dx, factor in zip(dxs, (1, -0.5, 1), strict=True):
        np.testing.assert_array_equal(dx.get(), factor * want)


def test_a_gradient_that_is_changed_in_place_leaves_the_others_alone(make_backend):
    backend = make_backend()
    dy = gradient(backend)
    want = dy.get()
    one, two, three = sum_backward(backend, dy, 1.0, 1.0, 1.0)
    s = backend.tensor((8,))
    s.set(np.full(8, 3.0))
    backend.plan(Scale(1), one, s, one).backward_data(one, s, one)
    two.change(LAST)
    three.set(7 * want)
    for tensor, factor in ((dy, 1), (one, 3), (two, 1), (three, 7)):
        np.testing.assert_array_equal(tensor.get(), factor * want)
    assert len({tensor.source(LAST) for tensor in (dy, one, two, three)}) == 4


def test_views_of_a_gradient_read_its_values(make_backend):
    backend = make_backend()
    dy = gradient(backend)
    dx = backend.gradient(SHAPE)
    view = dx.view((30, 8))
    sum_backward(backend, dy, 1.0, 1.0, dxs=[dx, None])
    np.testing.assert_array_equal(view.get(), dy.get().reshape(30, 8))
    # The view wrote the plain memory, for which dx has memory of its own.
    np.testing.assert_array_equal(dx.host(), dy.get())
    view.set(np.ones((30, 8)))
    np.testing.assert_array_equal(dx.get(), np.ones(SHAPE))
    assert (dy.get() != 1).all()


@pytest.mark.parametrize("form", [Format(), LAST])
def test_plain_gradients_and_sums_in_place_are_copied(make_backend, form):
    backend = make_backend()
    dy = gradient(backend, form)
    want = dy.get()
    in_place = form == LAST
    dxs = [dy, backend.gradient(SHAPE)] if in_place else None
    one, two = sum_backward(backend, dy, 1.0, 1.0, dxs=dxs)
    assert two.source(form) != dy.source(form)
    one.set(np.zeros(SHAPE))
    np.testing.assert_array_equal(two.get(), want)


def test_a_sum_of_one_gradient_that_is_not_zero_is_not_computed(make_backend, emulated_device):
    backend = make_backend()
    one, zero, y = gradient(backend), backend.gradient(SHAPE), backend.gradient(SHAPE)
    kernel = backend.plan(Add(), one, zero, y)
    _, n = launches_of(emulated_device, lambda: kernel.forward([zero, one], y))
    assert n == 0
    np.testing.assert_array_equal(y.get(), one.get())
    zero.set(np.ones(SHAPE))
    kernel.forward([zero, one], y)
    np.testing.assert_array_equal(y.get(), one.get() + 1)
    for tensor in (one, zero):
        tensor.clear()
    kernel.forward([zero, one], y)
    assert not y.get().any()


def test_an_accumulator_keeps_its_values(make_backend):
    backend = make_backend()
    total, term = backend.gradient(SHAPE), gradient(backend)
    kernel = backend.plan(Add(), total, term, total)
    want = term.get()
    kernel.forward([total, term], total)
    term.change(LAST)
    term.clear()
    term.set(np.ones(SHAPE))
    term.change(LAST)
    kernel.forward([total, term], total)
    np.testing.assert_array_equal(total.get(), want + 1)


# Residual blocks as in ResNet, the second with a convolution beside it, and a parameter that is
# added; the loss and a second reader split the last blob.
NET = """
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 3 dim: 8 dim: 6 dim: 5 } shape { dim: 3 } } }
layer { name: "stem" type: "Convolution" bottom: "x" top: "stem"
  convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "a" type: "Convolution" bottom: "stem" top: "a"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "a_bn" type: "BatchNorm" bottom: "a" top: "a" }
layer { name: "a_scale" type: "Scale" bottom: "a" top: "a" scale_param { bias_term: true } }
layer { name: "sum_a" type: "Eltwise" bottom: "a" bottom: "stem" top: "sum_a" }
layer { name: "relu_a" type: "ReLU" bottom: "sum_a" top: "sum_a" }
layer { name: "b" type: "Convolution" bottom: "sum_a" top: "b"
  convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "side" type: "Convolution" bottom: "sum_a" top: "side"
  convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "learned" type: "Parameter" top: "learned"
  parameter_param { shape { dim: 3 dim: 8 dim: 6 dim: 5 } } }
layer { name: "sum_b" type: "Eltwise" bottom: "b" bottom: "side" bottom: "sum_a" bottom: "learned"
  top: "sum_b" eltwise_param { coeff: 1 coeff: -0.5 coeff: 1 coeff: 1 } }
layer { name: "ip" type: "InnerProduct" bottom: "sum_b" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "quiet" type: "Silence" bottom: "ip" bottom: "sum_b" }
"""


def train(backend, iter_size, disturb=lambda net: None):
    """Train the residual net, disturbed twice; return the parameters after each iteration."""
    return disturbed_training.train(NET, backend, (3, 8, 6, 5), disturb, (2, 5), iter_size)


DISTURBANCES = {
    "nothing": lambda net: None,
    "gradients are read": lambda net: [blob.diff.get() for blob in net.blobs.values()],
    "gradients are changed": lambda net: [blob.diff.host().fill(9) for blob in net.blobs.values()],
    "a part runs backward": lambda net: (net.forward(), net.backward(len(net.steps) - 3, 6)),
}


@pytest.mark.parametrize("captures", [False, True])
@pytest.mark.parametrize("iter_size", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training_is_the_same(make_backend, monkeypatch, precision, iter_size, captures):
    got = train(make_backend(precision=precision, captures=captures), iter_size)
    monkeypatch.setattr(DeviceTensor, "borrow", lambda *_: False)
    want = train(make_backend(precision=precision, captures=False), iter_size)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", DISTURBANCES)
def test_disturbed_training_is_the_same(make_backend, monkeypatch, name):
    got = train(make_backend(), 1, DISTURBANCES[name])
    monkeypatch.setattr(DeviceTensor, "borrow", lambda *_: False)
    want = train(make_backend(captures=False), 1, DISTURBANCES[name])
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)
