"""A fully convolutional net is captured completely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver

# The parts of FCN-16s: a padded beginning, scores of two depths that are cut to one size and added,
# and the result cut to the image's size.
NET = """
name: "pixelwise"
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 3 dim: 19 dim: 17 } shape { dim: 2 dim: 1 dim: 19 dim: 17 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {
  num_output: 6 kernel_size: 3 pad: 10 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" convolution_param {
  num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool2" top: "pool2" }
layer { name: "score" type: "Convolution" bottom: "pool2" top: "score" convolution_param {
  num_output: 5 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "up2" type: "Deconvolution" bottom: "score" top: "up2" param { lr_mult: 0 }
  convolution_param { num_output: 5 kernel_size: 4 stride: 2 pad: 1 bias_term: false
    weight_filler { type: "bilinear" } } }
layer { name: "score_pool1" type: "Convolution" bottom: "pool1" top: "score_pool1"
  convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "cut_pool1" type: "Crop" bottom: "score_pool1" bottom: "up2" top: "cut_pool1"
  crop_param { axis: 2 offset: 1 } }
layer { name: "sum" type: "Eltwise" bottom: "up2" bottom: "cut_pool1" top: "sum" }
layer { name: "up" type: "Deconvolution" bottom: "sum" top: "up" convolution_param {
  num_output: 5 kernel_size: 4 stride: 2 weight_filler { type: "bilinear" } } }
layer { name: "out" type: "Crop" bottom: "up" bottom: "data" top: "out"
  crop_param { axis: 2 offset: 8 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss"
  loss_param { ignore_label: 255 normalization: VALID } }
"""
STEPS = 6


@pytest.fixture
def train(tmp_path, monkeypatch):
    """A function that trains; returns the parameters after every step."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 random_seed: 3 '
        'snapshot_prefix: "s"'
    )

    def run(backend, between=lambda step: None):
        solver = Solver(read_solver("solver.prototxt"), backend)
        data, label = solver.net.inputs
        seen = []
        for step in range(STEPS):
            rng = np.random.default_rng(step)
            data.data.set(rng.standard_normal(data.shape))
            labels = rng.integers(0, 5, label.shape)
            labels[rng.random(label.shape) < 0.1] = 255
            label.data.set(labels)
            solver.step(1)
            between(step)
            seen.append([p.blob.data.get() for p in solver.net.parameters])
        solver.close()
        return seen

    return run


@pytest.mark.parametrize("has_dnn", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_everything_is_captured_and_the_same(
    make_backend, emulated_device, train, precision, has_dnn
):
    want = train(make_backend(has_dnn, precision=precision, captures=False))
    counts = []
    backend = make_backend(has_dnn, precision=precision, strict=True)
    got = train(backend, lambda step: counts.append(emulated_device.counts.copy()))
    for step, (ours, theirs) in enumerate(zip(got, want, strict=True)):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            np.testing.assert_array_equal(a, b, err_msg=f"parameter {i} after step {step}")
    # Once two runs have been alike: all of the iteration, the update included.
    assert [count["capture"] - counts[0]["capture"] for count in counts] == [0, 0, 1, 1, 1, 1]
    assert counts[-1]["allocate"] == counts[2]["allocate"]
    assert abs(got[-1][0] - got[0][0]).max() > 0


def test_short_values_train_about_the_same(make_backend, train):
    full = train(make_backend())
    for precision, allowed in (("bf16", 0.1), ("fp16", 0.02)):
        short = train(make_backend(precision=precision))
        for first, a, b in zip(full[0], full[-1], short[-1], strict=True):
            assert abs(a - b).max() <= allowed * max(abs(a - first).max(), 0.01)
