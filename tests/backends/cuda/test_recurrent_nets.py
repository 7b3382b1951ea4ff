"""Nets with recurrent layers are captured completely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicaffe.backends.cuda.kernels._recurrent import MAX_VALUES
from minicaffe.backends.cuda.kernels.rnn import CudaRnn
from minicaffe.errors import Unsupported
from minicaffe.ops.rnn import Rnn
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver

T, N, K, D, CLASSES = 5, 3, 7, 6, 4
FILLERS = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -1 max: 1 }'
# States of the layers' own and exposed ones, a static input, and a net that takes its steps itself.
NET = f"""
layer {{ name: "in" type: "Input" top: "x" top: "cont" top: "static" top: "one" top: "label"
  input_param {{ shape {{ dim: {T} dim: {N} dim: {K} }} shape {{ dim: {T} dim: {N} }}
    shape {{ dim: {N} dim: 2 }} shape {{ dim: 1 dim: {N} }} shape {{ dim: {T} dim: {N} }} }} }}
layer {{ name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" bottom: "static" top: "y"
  recurrent_param {{ num_output: {D} {FILLERS} }} }}
layer {{ name: "start" type: "InnerProduct" bottom: "static" top: "sums"
  inner_product_param {{ num_output: {5 * D} {FILLERS} }} }}
layer {{ name: "ahead" type: "Reshape" bottom: "sums" top: "ahead"
  reshape_param {{ shape {{ dim: 1 dim: {N} dim: {5 * D} }} }} }}
layer {{ name: "parts" type: "Slice" bottom: "ahead" top: "c0" top: "a"
  slice_param {{ axis: 2 slice_point: {D} }} }}
layer {{ name: "unit" type: "LSTMUnit" bottom: "c0" bottom: "a" bottom: "one" top: "c1" top: "h1" }}
layer {{ name: "second" type: "LSTM" bottom: "y" bottom: "cont" bottom: "h1" bottom: "c1"
  top: "z" top: "h2" top: "c2"
  recurrent_param {{ num_output: {D} {FILLERS} expose_hidden: true }} }}
layer {{ name: "rnn" type: "RNN" bottom: "z" bottom: "cont" bottom: "h2" top: "w" top: "h3"
  recurrent_param {{ num_output: {D} {FILLERS} expose_hidden: true }} }}
layer {{ name: "own" type: "RNN" bottom: "w" bottom: "cont" top: "v"
  recurrent_param {{ num_output: {D} {FILLERS} }} }}
layer {{ name: "out" type: "InnerProduct" bottom: "v" top: "out"
  inner_product_param {{ axis: 2 num_output: {CLASSES} {FILLERS} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss"
  softmax_param {{ axis: 2 }} }}
layer {{ name: "last" type: "EuclideanLoss" bottom: "c2" bottom: "h3" top: "far" loss_weight: 0.1 }}
"""
SETTINGS = (
    'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 random_seed: 3 '
    'max_iter: 100 snapshot_prefix: "s"'
)


@pytest.fixture
def train(tmp_path, monkeypatch):
    """A function that trains on a backend; returns all that the net holds after each step."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SETTINGS)

    def run(backend, steps, between=lambda solver, step: None):
        solver = Solver(read_solver("solver.prototxt"), backend)
        seen = []
        for step in range(steps):
            rng = np.random.default_rng(step)
            x, cont, static, one, label = (blob.data for blob in solver.net.inputs)
            x.set(rng.standard_normal(x.shape))
            static.set(rng.standard_normal(static.shape))
            cont.set(rng.integers(0, 4, cont.shape).clip(0, 1))
            one.set(1)
            label.set(rng.integers(0, CLASSES, label.shape))
            between(solver, step)
            solver.step(1)
            seen.append({name: blob.data.get() for name, blob in solver.net.blobs.items()})
            for parameter in solver.net.parameters:
                key = f"{parameter.layer.name}[{parameter.index}]"
                seen[-1][key] = parameter.blob.data.get()
                seen[-1][f"{key} diff"] = parameter.blob.diff.get()
        solver.close()
        return seen

    return run


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_captured_training_is_the_same(make_backend, train, precision):
    want = train(make_backend(captures=False, precision=precision), 6)
    got = train(make_backend(precision=precision), 6)
    for step, (ours, theirs) in enumerate(zip(got, want, strict=True)):
        for name, values in theirs.items():
            np.testing.assert_array_equal(ours[name], values, err_msg=f"{name}, step {step}")


@pytest.mark.parametrize(("precision", "bits"), [("bf16", 8), ("fp16", 11)])
def test_short_values_change_a_gradient_by_their_rounding(make_backend, train, precision, bits):
    want, got = (train(make_backend(precision=p), 1)[0] for p in ("fp32", precision))
    assert not np.array_equal(got["y"], want["y"])
    for name, values in want.items():
        # Two LSTMs and two plain nets on top of each other: some roundings add up.
        assert abs(got[name] - values).max() <= 16 * 0.5**bits * max(abs(values).max(), 0.1), name


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_no_layer_falls_back_and_all_are_captured(make_backend, train, emulated_device, precision):
    calls, taken = [], []

    def between(solver, step):
        if step != 4:
            return
        taken.append(emulated_device.counts["allocate"])
        for layer in solver.net.layers:
            layer.forward = lambda *args, name=layer.name: calls.append(name)
            layer.backward = lambda *args, name=layer.name: calls.append(name)

    train(make_backend(precision=precision, strict=True), 8, between)
    assert set(calls) <= {"in"}
    assert taken == [emulated_device.counts["allocate"]]


def test_more_sums_than_kernels_can_count_are_refused(make_backend):
    backend = make_backend()
    steps = MAX_VALUES // 16 + 1
    x, y = (backend.tensor((steps, 4, size)) for size in (1, 4))
    shapes = (4, 1), (4,), (4, 4), (4, 4), (4,)
    params = [backend.tensor(shape) for shape in shapes]
    with pytest.raises(
        Unsupported, match="index at most 2147483647 values; there are 2147483648 sums"
    ):
        CudaRnn(backend, Rnn(), x, backend.tensor((steps, 4)), y, *params)
