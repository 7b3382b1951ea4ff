"""Loss scaling of float16 gradients: no underflow, correct values, skipped steps on overflow."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.loss_scale import FIRST
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver
from probe import net_from_text

LABELS = [0, 3, 1, 2]
NET = """
name: "scaled"
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "hidden" type: "InnerProduct" bottom: "x" top: "hidden"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "tanh" type: "TanH" bottom: "hidden" top: "hidden" }
layer { name: "out" type: "InnerProduct" bottom: "hidden" top: "out"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss"
  loss_weight: WEIGHT }
"""
# A layer for each way in which a gradient leaves or enters float16.
ALL_KINDS = """
layer { name: "in" type: "Input" top: "x" top: "label" top: "wanted" top: "h" input_param {
  shape { dim: 4 dim: 2 dim: 9 dim: 8 } shape { dim: 4 } shape { dim: 4 dim: 5 }
  shape { dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "up" type: "Deconvolution" bottom: "conv" top: "up" convolution_param {
  num_output: 3 kernel_size: 2 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "prelu" type: "PReLU" bottom: "up" top: "prelu" }
layer { name: "factor" type: "Scale" bottom: "prelu" top: "factor" }
layer { name: "bias" type: "Bias" bottom: "factor" top: "bias" }
layer { name: "crop" type: "Crop" bottom: "bias" bottom: "x" top: "crop" crop_param { offset: 2 } }
layer { name: "tile" type: "Tile" bottom: "crop" top: "tile" tile_param { tiles: 2 } }
layer { name: "mvn" type: "MVN" bottom: "tile" top: "mvn" }
layer { name: "columns" type: "Im2col" bottom: "mvn" top: "columns"
  convolution_param { kernel_size: 3 stride: 2 } }
layer { name: "chosen" type: "BatchReindex" bottom: "columns" bottom: "label" top: "chosen" }
layer { name: "squares" type: "Reduction" bottom: "chosen" top: "squares"
  reduction_param { operation: SUMSQ axis: 2 coeff: 0.1 } }
layer { name: "all" type: "InnerProduct" bottom: "chosen" top: "all"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "some" type: "InnerProduct" bottom: "squares" top: "some"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "words" type: "Embed" bottom: "label" top: "words"
  embed_param { input_dim: 4 num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "out" type: "Eltwise" bottom: "all" bottom: "some" bottom: "words" top: "out" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss" }
layer { name: "apart" type: "EuclideanLoss" bottom: "out" bottom: "wanted" top: "apart" }
layer { name: "weighed" type: "InfogainLoss" bottom: "out" bottom: "label" bottom: "h"
  top: "weighed" }
layer { name: "p" type: "Softmax" bottom: "out" top: "p" }
layer { name: "given" type: "MultinomialLogisticLoss" bottom: "p" bottom: "label" top: "given" }
layer { name: "small" type: "Reduction" bottom: "out" top: "small" loss_weight: 0.1
  reduction_param { operation: ASUM } }
"""


@pytest.fixture
def make_solver(tmp_path, monkeypatch):
    """A function that makes a solver of NET whose loss has some weight."""
    monkeypatch.chdir(tmp_path)
    made = []

    def make(backend, loss_weight, base_lr):
        Path("net.prototxt").write_text(NET.replace("WEIGHT", str(loss_weight)))
        Path("solver.prototxt").write_text(
            f'net: "net.prototxt" base_lr: {base_lr} lr_policy: "fixed" momentum: 0.9 '
            'random_seed: 3 snapshot_prefix: "s"'
        )
        made.append(Solver(read_solver("solver.prototxt"), backend))
        return made[-1]

    yield make
    for solver in made:
        solver.close()


def train(solver, steps):
    """Train; return parameters and history after every step."""
    seen = []
    for _ in range(steps):
        data, labels = solver.net.inputs
        data.data.set(np.random.default_rng(solver.iter).standard_normal(data.shape))
        labels.data.set(LABELS)
        solver.step(1)
        seen.append([tensor.get() for tensor in tensors(solver)])
    return seen


def tensors(solver):
    """Return what an update changes."""
    return [p.blob.data for p in solver.net.parameters] + solver.history


def gradients(backend):
    """Return all gradients of a net, of parameters and blobs, by name."""
    net = net_from_text(ALL_KINDS, backend=backend)
    rng = np.random.default_rng(2)
    for blob, values in zip(
        net.inputs,
        (rng.standard_normal((4, 2, 9, 8)), LABELS, rng.standard_normal((4, 5)), np.eye(5)),
        strict=True,
    ):
        blob.data.set(values)
    net.clear_param_diffs()
    for _ in range(2):
        net.forward()
        net.backward()
    blobs = {
        name: net.blobs[name].diff.get()
        for name in ("out", "words", "tile", "bias", "prelu", "up", "conv")
    }
    return blobs | {f"{p.layer.name}, {p.index}": p.blob.diff.get() for p in net.parameters}


@pytest.mark.parametrize("has_dnn", [False, True])
def test_gradients_are_unscaled_outside_of_kernels(make_backend, has_dnn):
    scaled = make_backend(has_dnn, precision="fp16", captures=False)
    plain = make_backend(has_dnn, precision="fp16", captures=False)
    plain.session.scale = None
    want = gradients(plain)
    for name, got in gradients(scaled).items():
        largest = abs(want[name]).max()
        np.testing.assert_allclose(got, want[name], atol=0.01 * largest, err_msg=name)


def test_gradients_below_the_smallest_number_train_as_in_float32(make_backend, make_solver):
    full = train(make_solver(make_backend(), 1e-7, 1e6), 20)
    scaled = train(make_solver(make_backend(precision="fp16"), 1e-7, 1e6), 20)
    backend = make_backend(precision="fp16")
    backend.session.scale = None
    lost = train(make_solver(backend, 1e-7, 1e6), 20)
    moved = abs(full[-1][0] - full[0][0]).max()
    assert moved > 0.1
    assert abs(scaled[-1][0] - full[-1][0]).max() < 0.05 * moved
    np.testing.assert_array_equal(lost[-1][0], lost[0][0])


def scale_of(solver):
    return solver.backend.state()["loss_scale"]


@pytest.mark.parametrize("captures", [False, True])
def test_an_overflow_skips_the_step_and_halves_the_scale(make_backend, make_solver, captures):
    solver = make_solver(make_backend(precision="fp16", captures=captures), 1000, 1e-4)
    scales, before = [FIRST], [t.get() for t in tensors(solver)]
    for _ in range(8):
        (after,) = train(solver, 1)
        scales.append(scale_of(solver))
        # A whole step, or nothing of it.
        changes = {bool((a != b).any()) for a, b in zip(before, after, strict=True)}
        assert changes == {scales[-1] == scales[-2]}
        assert scales[-1] in (scales[-2], scales[-2] / 2)
        before = after
    assert scales[1] == FIRST / 2
    assert scales[-1] == scales[-2]
    assert math.isfinite(solver.losses.values()[-1])


def test_captured_is_plain_and_resumed_is_uninterrupted(make_backend, make_solver):
    def make(**options):
        return make_solver(make_backend(precision="fp16", **options), 1000, 1e-4)

    solver = make(captures=False)
    want = train(solver, 12)
    for got, expected in zip(train(make(), 12), want, strict=True):
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    first = make()
    train(first, 7)
    first.snapshot()
    state = json.loads(Path("s_iter_7.solverstate.json").read_text())["backend"]
    assert state == first.backend.state()
    assert state["loss_scale"] < FIRST
    second = make()
    second.restore("s_iter_7.solverstate")
    for got, expected in zip(train(second, 5), want[7:], strict=True):
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    assert second.backend.state() == solver.backend.state()


def test_enough_good_steps_double_the_scale(make_backend, make_solver):
    solver = make_solver(make_backend(precision="fp16"), 1, 0.1)
    solver.backend.restore({"loss_scale": 1024.0, "good_updates": 1998})
    train(solver, 1)
    before = solver.net.blobs["hidden"].diff.get()
    assert solver.backend.state() == {"loss_scale": 1024.0, "good_updates": 1999}
    solver.net.forward()
    solver.net.clear_param_diffs()
    solver.net.backward()
    want = solver.net.blobs["hidden"].diff.get()
    assert (before != want).any()
    solver.apply_update()
    assert solver.backend.state() == {"loss_scale": 2048.0, "good_updates": 0}
    # What an earlier pass has left does not change with it.
    np.testing.assert_array_equal(solver.net.blobs["hidden"].diff.get(), want)
    train(solver, 1)
    assert abs(solver.net.blobs["hidden"].diff.get()).max() < 2 * abs(want).max()


def test_what_no_scale_makes_finite_is_a_divergence(make_backend, make_solver):
    solver = make_solver(make_backend(precision="fp16"), 1, 0.1)
    data, labels = solver.net.inputs
    data.data.set(np.full(data.shape, np.nan))
    labels.data.set(LABELS)
    solver.step(10)
    assert all(np.isfinite(p.blob.data.get()).all() for p in solver.net.parameters)
    assert scale_of(solver) == 1
    solver.step(1)
    assert not np.isfinite(solver.net.parameters[0].blob.data.get()).any()


def test_other_precisions_have_no_scale(make_backend):
    for precision in ("fp32", "tf32", "bf16"):
        backend = make_backend(precision=precision)
        assert backend.state() == {}
        backend.restore({"loss_scale": 2.0, "good_updates": 0})
        assert backend.session.scale is None


def test_a_gradient_from_outside_takes_up_every_scale(make_backend, emulated_device):
    backend = make_backend(precision="fp16")
    gradient, held = backend.gradient((3, 1)), np.empty((3, 1), np.float16)
    gradient.set([[1], [2], [3]])
    for scale in (1024.0, 2048.0):
        backend.restore({"loss_scale": scale, "good_updates": 0})
        for tensor in (gradient, gradient.view((3,))):
            emulated_device.download(tensor.source(Format(False, "float16")), held)
            np.testing.assert_array_equal(held, [[scale], [2 * scale], [3 * scale]])
