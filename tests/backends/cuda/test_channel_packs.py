"""Kernels that read what there is of each channel once for each thread give the same results."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from minicaffe.backends.cuda.driver.device import MAX_BLOCKS, THREADS
from minicaffe.backends.cuda.kernels import _channel_packs
from minicaffe.backends.cuda.kernels._channel_packs import ChannelGrid
from minicaffe.backends.cuda.kernels._channel_sums import Channels
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.ops.activation import Relu
from minicaffe.ops.backend import EpilogueOp
from minicaffe.ops.batch_norm import BatchNorm
from minicaffe.ops.bias import Bias
from minicaffe.ops.prelu import PReLU
from minicaffe.ops.scale import Scale

PACKS = {"float": 4, "bfloat16": 8, "float16": 8}


@pytest.mark.parametrize("value", PACKS)
@pytest.mark.parametrize("n_channels", [8, 24, 64, 96, 1000, 2048, 3000])
@pytest.mark.parametrize("rows", [1, 100, 10_000, 1_000_000])
def test_every_turn_of_a_fixed_grid_begins_with_the_same_channel(value, n_channels, rows):
    grid = ChannelGrid.of(Channels(rows, n_channels, 1), value, 132)
    assert 1 <= grid.n_blocks <= MAX_BLOCKS
    if grid.is_fixed:
        assert PACKS[value] * THREADS * grid.n_blocks % n_channels == 0
    # A smaller tensor would leave blocks of the smallest such grid without work.
    assert grid.is_fixed or rows * n_channels < math.lcm(n_channels, PACKS[value] * THREADS)


def test_no_grid_is_fixed_where_packs_hold_other_channels():
    shapes = [(64, 3, 1), (64, 20, 1), (64, 8, 5), (1, 1, 4096), (64, 0, 1)]
    assert not any(ChannelGrid.of(Channels(*shape), "bfloat16", 4).is_fixed for shape in shapes)
    assert not ChannelGrid.of(Channels(64, 8, 1, images=2), "bfloat16", 4).is_fixed


def run_with_grids(monkeypatch, is_fixed, run):
    """Run with few blocks, so that threads have several turns; return the result."""
    used, choose = [], ChannelGrid.of

    def of(channels, value, multiprocessors):
        grid = choose(channels, value, multiprocessors)
        used.append(grid.is_fixed and is_fixed)
        return ChannelGrid(grid.n_blocks, used[-1])

    with monkeypatch.context() as patch:
        patch.setattr(_channel_packs, "blocks", lambda n: 4)
        patch.setattr(_channel_packs, "BLOCKS_EACH", 1)
        patch.setattr(ChannelGrid, "of", staticmethod(of))
        found = run()
    assert used
    assert set(used) == {is_fixed}
    return found


SHAPE = (5, 24, 17, 7)


def tensors(backend, value, *shapes):
    """Return tensors of normal numbers; those of SHAPE have the channels last."""
    rng = np.random.default_rng(1)
    found = []
    for shape in shapes:
        tensor = backend.tensor(shape)
        tensor.set(rng.standard_normal(shape))
        if shape == SHAPE:
            tensor.change(Format(True, value))
        found.append(tensor)
    return found


def batch_norm(backend, value, fuses=False):
    x, dy, s, b, mean, variance, ds, db = tensors(backend, value, SHAPE, SHAPE, *[SHAPE[1:2]] * 6)
    weight = backend.tensor(())
    kernel = backend.plan(BatchNorm(False, 0.9, 1e-5), x, mean, variance, weight, x)
    if fuses:
        scaling = EpilogueOp(Scale(1, True), lambda: (s, b), gradients=lambda: (ds, db))
        assert kernel.fuse([scaling, EpilogueOp(Relu(0.0))]) == 2
    kernel.forward(x, mean, variance, weight, x)
    found = [x.get()]
    kernel.backward(dy, dy)
    return [*found, dy.get(), ds.get(), db.get()]


def stored(backend, value):
    x, dy, mean = tensors(backend, value, SHAPE, SHAPE, SHAPE[1:2])
    variance, weight = backend.tensor(mean.shape), backend.tensor(())
    variance.set(np.linspace(0.5, 2, *mean.shape))
    weight.set(1.0)
    kernel = backend.plan(BatchNorm(True, 0.9, 1e-5), x, mean, variance, weight, x)
    kernel.forward(x, mean, variance, weight, x)
    kernel.backward(dy, dy)
    return [x.get(), dy.get()]


def scale(backend, value):
    x, dy, s, b, dx = tensors(backend, value, SHAPE, SHAPE, SHAPE[1:2], SHAPE[1:2], SHAPE)
    kernel = backend.plan(Scale(1, True), x, s, x)
    kernel.forward(x, s, b, x)
    kernel.backward_data(dy, s, dx)
    return [x.get(), dx.get()]


def bias(backend, value):
    x, b = tensors(backend, value, SHAPE, SHAPE[1:2])
    backend.plan(Bias(1), x, b, x).forward(x, b, x)
    return [x.get()]


def prelu(backend, value):
    x, dy, a, dx = tensors(backend, value, SHAPE, SHAPE, SHAPE[1:2], SHAPE)
    kernel = backend.plan(PReLU(), x, a, x)
    kernel.forward(x, a, x)
    kernel.backward_data(x, a, dy, dx)
    return [x.get(), dx.get()]


WORK = {
    "batch norm": batch_norm,
    "batch norm, scale, ReLU": partial(batch_norm, fuses=True),
    "stored statistics": stored,
    "scale": scale,
    "bias": bias,
    "PReLU": prelu,
}


@pytest.mark.parametrize("value", PACKS)
@pytest.mark.parametrize("name", WORK)
def test_fixed_channels_change_no_bit(monkeypatch, make_backend, name, value):
    precision = {"float": "fp32", "bfloat16": "bf16", "float16": "fp16"}[value]
    results = [
        run_with_grids(
            monkeypatch, is_fixed, lambda: WORK[name](make_backend(precision=precision), value)
        )
        for is_fixed in (True, False)
    ]
    for fixed, varying in zip(*results, strict=True):
        assert np.isfinite(fixed).all()
        np.testing.assert_array_equal(fixed, varying)
