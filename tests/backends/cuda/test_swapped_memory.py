"""Batch normalisation in place saves its input by swapping memory, and nothing else changes."""

from __future__ import annotations

import disturbed_training
import numpy as np
import pytest

from minicaffe.backends.cuda import CudaBackend
from minicaffe.backends.cuda.driver.device import CannotCapture
from minicaffe.backends.cuda.runtime.device_tensor import DeviceTensor
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.ops.activation import Sigmoid
from minicaffe.ops.batch_norm import BatchNorm
from minicaffe.ops.lrn import Lrn

SHAPE = (3, 8, 5, 2)
LAST = Format(True)


def plan(backend, form):
    """Return a tensor, an in-place kernel for it, and the kernel's statistics."""
    x = backend.tensor(SHAPE)
    x.set(np.random.default_rng(0).standard_normal(SHAPE))
    x.change(form)
    rest = [backend.tensor((8,)), backend.tensor((8,)), backend.tensor(())]
    return x, backend.plan(BatchNorm(False, 0.9, 1e-5), x, *rest, x), rest


def test_input_and_output_are_in_two_buffers_that_change_places(make_backend):
    backend = make_backend()
    x, kernel, rest = plan(backend, LAST)
    seen = []
    for _ in range(4):
        seen.append(x.source(LAST))
        kernel.forward(x, *rest, x)
    assert len(set(seen)) == 2
    assert seen[:2] == seen[2:]


@pytest.mark.parametrize("form", [Format(), LAST, Format(True, "bfloat16")])
def test_results_are_those_with_a_copy(make_backend, monkeypatch, form):
    def run():
        backend = make_backend()
        x, kernel, rest = plan(backend, form)
        found = []
        for step in range(3):
            kernel.forward(x, *rest, x)
            found.append(x.get())
            # As a later layer in place would.
            x.change(form)
            x.set(np.full(SHAPE, step))
            x.source(form)
            dy = backend.gradient(SHAPE)
            dy.set(np.random.default_rng(step).standard_normal(SHAPE))
            kernel.backward(dy, dy)
            found.append(dy.get())
            x.set(np.random.default_rng(9 + step).standard_normal(SHAPE))
            x.change(form)
        return found

    got = run()
    monkeypatch.setattr(DeviceTensor, "swap_memory", lambda *_: False)
    np.testing.assert_array_equal(got, run())


# Which of the three graphs of a step run eagerly instead: writer, forward pass, backward pass.
EAGER = {
    "none": {},
    "the writer": {6: {0}, 9: {0}},
    "forward": {6: {1}, 9: {1}},
    "backward": {6: {2}, 9: {2}},
    "forward and backward": {6: {1, 2}},
    "writer and forward": {6: {0, 1}, 8: {0}, 9: {1}},
    "ever again": {step: {step % 3} for step in range(12)},
}


def run_graphs(backend, eager, refuses=lambda: None):
    """Write x, normalise it and run backward in three graphs; return what each left."""
    x, kernel, rest = plan(backend, LAST)
    z, dy = backend.tensor(SHAPE), backend.gradient(SHAPE)
    write = backend.plan(Sigmoid(), z, x)
    tasks = [
        lambda: write.forward(z, x),
        lambda: (kernel.forward(x, *rest, x), refuses()),
        lambda: kernel.backward(dy, dy),
    ]
    graphs = [backend.compile([task]) for task in tasks]
    seen = []
    for step in range(12):
        for i, tensor in enumerate((z, dy)):
            tensor.set(np.random.default_rng(2 * step + i).standard_normal(SHAPE))
            tensor.change(LAST)
        for i, result in enumerate((x, x, dy)):
            (tasks if i in eager.get(step, ()) else graphs)[i]()
            seen.append(result.get())
    return seen


@pytest.mark.parametrize("name", EAGER)
def test_graphs_and_eager_runs_alternate(make_backend, monkeypatch, name):
    got = run_graphs(make_backend(), EAGER[name])
    monkeypatch.setattr(DeviceTensor, "swap_memory", lambda *_: False)
    np.testing.assert_array_equal(got, run_graphs(make_backend(captures=False), {}))


def test_a_capture_that_fails_swaps_nothing(make_backend, monkeypatch, emulated_device):
    def refuse():
        if emulated_device.is_capturing:
            raise CannotCapture("no")

    got = run_graphs(make_backend(), {}, refuse)
    monkeypatch.setattr(DeviceTensor, "swap_memory", lambda *_: False)
    np.testing.assert_array_equal(got, run_graphs(make_backend(captures=False), {}))


def conv(name, bottom):
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
        "convolution_param { num_output: 8 kernel_size: 3 pad: 1 "
        'weight_filler { type: "xavier" } } }\n'
    )


def in_place(kind, blob, settings=""):
    names = f'name: "{blob}_{kind}" type: "{kind}" bottom: "{blob}" top: "{blob}"'
    return f"layer {{ {names} {settings} }}\n"


INPUT = """
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 3 dim: 8 dim: 5 dim: 4 } shape { dim: 3 } } }
"""
LOSS = """
layer { name: "ip" type: "InnerProduct" bottom: "b" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SCALE = "scale_param { bias_term: true }"
BLOCK = in_place("BatchNorm", "a") + in_place("Scale", "a", SCALE) + in_place("ReLU", "a")
NETS = {
    "fused": INPUT + conv("a", "x") + BLOCK + conv("b", "a") + in_place("BatchNorm", "b") + LOSS,
    "another layer in place": INPUT
    + conv("b", "x")
    + in_place("BatchNorm", "b")
    + in_place("Dropout", "b")
    + LOSS,
    "twice in place": INPUT
    + conv("b", "x")
    + in_place("BatchNorm", "b")
    + in_place("ReLU", "b")
    + in_place("BatchNorm", "b", "batch_norm_param { eps: 0.1 }")
    + LOSS,
    # LRN has no native kernel in these tests, so convolution and normalisation are two graphs.
    "two graphs": INPUT
    + conv("c", "x")
    + conv("a", "x")
    + 'layer { name: "d" type: "LRN" bottom: "c" top: "d" }\n'
    + in_place("BatchNorm", "a")
    + 'layer { name: "b" type: "Eltwise" bottom: "a" bottom: "d" top: "b" }\n'
    + LOSS,
}


def train(backend, name, iter_size=1, disturb=lambda net: None):
    """Train a net, disturbed four times; return parameters and outputs after each iteration."""
    shape, at = (3, 8, 5, 4), (1, 3, 4, 7)
    return disturbed_training.train(NETS[name], backend, shape, disturb, at, iter_size, ["b"])


DISTURBANCES = {
    "nothing": lambda net: None,
    "blobs are read": lambda net: [blob.data.host() for blob in net.blobs.values()],
    "blobs are changed": lambda net: [net.blobs[n].data.update().fill(0.5) for n in "xb"],
    "a pass runs": lambda net: net.forward(),
    "two passes run": lambda net: (net.forward(), net.forward(), net.backward()),
    "a backward pass runs": lambda net: net.backward(),
    "a part runs": lambda net: net.forward(1, 2),
    "a part runs again": lambda net: (net.forward(), net.forward(2, 4), net.backward()),
    "a value is changed before the gradient": lambda net: (
        net.forward(),
        net.blobs["b"].data.host().fill(0.25),
        net.backward(),
    ),
}


def assert_same_with_copies(make_backend, monkeypatch, run, **options):
    monkeypatch.delitem(CudaBackend.kernels, Lrn)
    got = run(make_backend(**options))
    monkeypatch.setattr(DeviceTensor, "swap_memory", lambda *_: False)
    want = run(make_backend(**{**options, "captures": False}))
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("captures", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_is_the_same(make_backend, monkeypatch, name, precision, captures):
    def run(backend):
        return train(backend, name, iter_size=1 + captures)

    options = {"precision": precision, "captures": captures}
    assert_same_with_copies(make_backend, monkeypatch, run, **options)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_disturbed_training_is_the_same(make_backend, monkeypatch, name, disturbance):
    def run(backend):
        return train(backend, name, disturb=DISTURBANCES[disturbance])

    assert_same_with_copies(make_backend, monkeypatch, run)


def test_graphs_are_launched_again_and_again(make_backend, emulated_device):
    for name in ("fused", "another layer in place", "twice in place"):
        before = emulated_device.counts["replay"]
        train(make_backend(), name)
        assert emulated_device.counts["replay"] - before == 7
