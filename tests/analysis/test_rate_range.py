"""The learning-rate range test: its schedule, its end, and the rates that it finds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from minicaffe.analysis.rate_range import RateRange, measure_rates, prepare_range_test
from minicaffe.pictures.rate_range import draw_rate_range
from minicaffe.schema import SolverParameter, parse_prototxt, read_solver
from minicaffe.solver.lr_policy import learning_rate
from minicaffe.solver.setting_problems import solver_problems
from minicaffe.solver.solver import Solver
from minicaffe.solver.unread_fields import warn_of_unread_fields
from probe import make_backend

# Every field that the test replaces and that makes sense beside the others.
SETTINGS = (
    'net: "net.prototxt" base_lr: 0.5 lr_policy: "onecycle" warmup_iter: 2 warmup_start_lr: 0.1 '
    'min_lr: 0.01 momentum: 0.5 momentum_policy: "onecycle" max_momentum: 0.9 test_iter: 2 '
    "test_interval: 2 test_compute_loss: true max_iter: 50 snapshot: 3 snapshot_diff: true "
    "average_loss: 5 display: 1 ema_decay: 0.9 random_seed: 3 weight_decay: 0.1 "
    'snapshot_prefix: "s"'
)
# The loss is quadratic: a rate above 2 / (largest eigenvalue) diverges.
NET = """
layer { name: "x" type: "DummyData" top: "x" top: "y"
  dummy_data_param { shape { dim: 4 dim: 1 } shape { dim: 4 dim: 1 }
    data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 1 bias_term: false } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""


def range_of(losses, first=1e-4, last=1.0, diverged_at=None):
    rates = np.geomspace(first, last, len(losses))
    return RateRange(rates, np.array(losses, float), diverged_at)


def test_the_rate_grows_exponentially_and_nothing_else_happens(caplog_minicaffe):
    param = parse_prototxt(SETTINGS, SolverParameter).message
    prepare_range_test(param, 1e-5, 10, 31)
    assert not list(solver_problems(param))
    rates = [learning_rate(param, i) for i in range(31)]
    np.testing.assert_allclose(rates, np.geomspace(1e-5, 10, 31), rtol=1e-4)
    assert (param.max_iter, param.momentum, param.weight_decay) == pytest.approx((31, 0.5, 0.1))
    assert not param.test_iter
    assert (param.snapshot, param.snapshot_after_train, param.display) == (0, False, 0)


def test_what_remains_of_a_solver_has_an_effect(tmp_path, monkeypatch, caplog_minicaffe):
    monkeypatch.chdir(tmp_path)
    Path("solver.prototxt").write_text(SETTINGS)
    source = read_solver("solver.prototxt")
    prepare_range_test(source.param, 1e-5, 10, 31)
    warn_of_unread_fields(source, 0)
    assert not caplog_minicaffe.messages


def test_the_rates_of_a_valley():
    x = np.linspace(-4, 0, 201)  # logarithms of the rates, to the base of 10
    losses = 2 - 1 / (1 + np.exp(-6 * (x + 2))) + np.exp(8 * (x + 0.5))
    found = range_of(losses)
    assert math.log10(found.steepest) == pytest.approx(-2, abs=0.05)
    # Smoothing moves the minimum away from the steeper side.
    assert math.log10(found.smallest) == pytest.approx(x[np.argmin(losses)], abs=0.15)
    noise = np.random.default_rng(0).normal(0, 0.02, len(losses))
    assert math.log10(range_of(losses + noise).steepest) == pytest.approx(-2, abs=0.3)


@pytest.mark.parametrize("losses", [[1, 2, 3, 4, 5], [2, 2, 2, 2, 2]])
def test_a_loss_that_does_not_fall_suggests_nothing(losses):
    assert range_of(losses).steepest is None


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """A function that makes a range test of NET from 0.001 to a last rate."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text('net: "net.prototxt" base_lr: 1 lr_policy: "fixed"')
    before = set(tmp_path.iterdir())

    def run(last, n=60, stops_after=math.inf):
        source = read_solver("solver.prototxt")
        prepare_range_test(source.param, 1e-3, last, n)
        solver = Solver(source, make_backend("auto"))
        found = measure_rates(solver, lambda: solver.iter >= stops_after)
        solver.close()
        assert set(tmp_path.iterdir()) == before
        return found

    return run


def test_a_quadratic_loss_diverges_above_its_limit(measure):
    """With x = 1 and a gradient of w - 3, updates grow from a rate of 2 on."""
    found = measure(1000)
    assert 2 < found.diverged_at < 200
    assert found.smallest < 4
    assert found.steepest < found.smallest
    assert np.isfinite(found.losses).all()
    assert len(found.losses) < 60


def test_a_loss_that_is_not_finite_ends_the_test(measure):
    found = measure(1e38, n=20)
    assert found.diverged_at is not None
    assert np.isfinite(found.losses).all()


def test_all_iterations_are_measured_if_it_does_not_diverge(measure):
    found = measure(0.1)
    assert found.diverged_at is None
    np.testing.assert_allclose(found.rates, np.geomspace(1e-3, 0.1, 60), rtol=1e-4)
    assert found.losses[0] == pytest.approx(4.5)


def test_it_can_be_stopped(measure):
    assert len(measure(0.1, stops_after=7).losses) == 7


@pytest.mark.parametrize("diverged_at", [None, 2.0])
@pytest.mark.parametrize("losses", [[5, 4, 3, 2, 3, 9], [2, 2], [1, 5]])
def test_the_chart_shows_what_was_found(losses, diverged_at):
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    found = range_of(losses, diverged_at=diverged_at)
    (axis,) = draw_rate_range(found).axes
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert any(label.startswith("smallest: ") for label in labels)
    assert any(label.startswith("falls fastest: ") for label in labels) == (
        found.steepest is not None
    )
    assert ("diverges: 2" in labels) == (diverged_at is not None)
