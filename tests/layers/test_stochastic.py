"""Dropout and stochastic pooling: distribution and reproducibility."""

from __future__ import annotations

import numpy as np
import pytest

from cases import CASES
from cases.case import Case, exactly
from probe import Probe

STOCHASTIC = [
    pytest.param(layer_type, case, id=f"{layer_type}-{case.name.replace(' ', '_')}")
    for layer_type, cases in sorted(CASES.items())
    for case in cases
    if case.is_stochastic
]


def dropout(backend, ratio, n=20_011):
    settings = f"dropout_param {{ dropout_ratio: {ratio} }}"
    return Probe("Dropout", Case("ones", settings, {"x": exactly(np.ones(n))}), backend)


@pytest.mark.parametrize(("layer_type", "case"), STOCHASTIC)
def test_a_step_repeats_and_the_next_differs(layer_type, case, backend):
    probe = Probe(layer_type, case, backend)
    first = probe.forward()["y"]
    probe.step.forward()
    second = probe.tops["y"].data.get()
    assert (first != second).any()
    np.testing.assert_array_equal(probe.forward()["y"], first)
    after_one_step = probe.layer.state()
    resumed = Probe(layer_type, case, backend)
    for name, values in resumed.inputs().items():
        resumed.bottoms[name].data.set(values)
    resumed.layer.restore(after_one_step)
    resumed.step.forward()
    np.testing.assert_array_equal(resumed.tops["y"].data.get(), second)


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.9])
def test_dropout_has_the_expected_ratio_and_mean(backend, ratio):
    y = dropout(backend, ratio).forward()["y"]
    # Five standard deviations of a binomial share.
    slack = 5 * np.sqrt(ratio * (1 - ratio) / y.size)
    assert (y == 0).mean() == pytest.approx(ratio, abs=slack)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - ratio), rtol=1e-6)


def test_dropout_applies_its_mask_to_the_gradient(backend):
    probe = dropout(backend, 0.4)
    y = probe.forward()["y"]
    probe.tops["y"].diff.set(np.ones(y.shape))
    probe.layer.backward(probe.step.top, [True], probe.step.bottom)
    np.testing.assert_array_equal(probe.bottoms["x"].diff.get(), y)


WINDOW = np.array([[0.0, 1.0], [2.0, 5.0]])


def stochastic_pooling(backend):
    """Many copies of one window, so that the share of each element can be counted."""
    x = np.broadcast_to(WINDOW, (11, 1009, 2, 2))
    settings = "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }"
    return Probe("Pooling", Case("copies", settings, {"x": exactly(x)}), backend)


def test_stochastic_pooling_draws_in_proportion(backend):
    y = stochastic_pooling(backend).forward()["y"]
    for value in WINDOW.ravel():
        share = value / WINDOW.sum()
        slack = 5 * np.sqrt(share * (1 - share) / y.size)
        assert (y == value).mean() == pytest.approx(share, abs=slack)


def test_stochastic_pooling_routes_the_gradient_to_the_drawn_element(backend):
    probe = stochastic_pooling(backend)
    y = probe.forward()["y"]
    dy = np.arange(1, y.size + 1).reshape(y.shape) / y.size
    probe.tops["y"].diff.set(dy)
    probe.layer.backward(probe.step.top, [True], probe.step.bottom)
    dx = probe.bottoms["x"].diff.get()
    drawn = np.broadcast_to(WINDOW, dx.shape) == y
    np.testing.assert_allclose(dx, np.where(drawn, dy, 0), rtol=1e-6)
