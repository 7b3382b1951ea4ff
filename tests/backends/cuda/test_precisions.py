"""A net trained with 16 bits is as good as one trained with 32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicaffe.net import Net
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver

N_CLASSES, SIZE, BATCH, STEPS = 6, 9, 24, 150
NET = f"""
name: "patterns"
layer {{ name: "in" type: "Input" top: "x" top: "label"
  input_param {{ shape {{ dim: {BATCH} dim: 2 dim: {SIZE} dim: {SIZE} }}
                 shape {{ dim: {BATCH} }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param {{
  num_output: 8 kernel_size: 3 weight_filler {{ type: "msra" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
layer {{ name: "out" type: "InnerProduct" bottom: "pool" top: "out" inner_product_param {{
  num_output: {N_CLASSES} weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss" }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "out" bottom: "label" top: "accuracy"
  include {{ phase: TEST }} }}
"""
SETTINGS = (
    'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001 '
    "random_seed: 3 snapshot_after_train: false"
)
PATTERNS = np.random.default_rng(0).standard_normal((N_CLASSES, 2, SIZE, SIZE))


def feed(net, seed):
    """Give a net a batch of patterns under twice their size of noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, N_CLASSES, BATCH)
    data = PATTERNS[labels] + 2 * rng.standard_normal((BATCH, 2, SIZE, SIZE))
    net.inputs[0].data.set(data)
    net.inputs[1].data.set(labels)


@pytest.fixture
def score(tmp_path, monkeypatch, make_backend):
    """A function that trains in a precision; returns loss and accuracy on other batches."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SETTINGS)

    def run(precision):
        solver = Solver(read_solver("solver.prototxt"), make_backend(precision=precision))
        for step in range(STEPS):
            feed(solver.net, step)
            solver.step(1)
        tester = Net("net.prototxt", "TEST", backend=solver.backend, seed=1)
        tester.share_parameters_with(solver.net)
        scores = []
        for seed in range(1000, 1060):
            feed(tester, seed)
            tester.forward()
            scores.append((tester.loss(), float(tester.blobs["accuracy"].data.get())))
        solver.close()
        return np.mean(scores, 0)

    return run


def test_short_values_train_as_well(score):
    loss, accuracy = score("fp32")
    assert accuracy > 0.9
    for precision in ("bf16", "fp16"):
        short_loss, short_accuracy = score(precision)
        assert short_accuracy > accuracy - 0.01
        assert short_loss < 1.1 * loss
