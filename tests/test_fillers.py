"""Fillers: their distributions and errors."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe import fillers
from minicaffe.errors import NetError
from minicaffe.schema import FillerParameter

SHAPE = (30, 20, 5, 7)
FAN_IN, FAN_OUT = 20 * 35, 30 * 35


def filled(shape=SHAPE, **settings):
    return fillers.fill(FillerParameter(**settings), shape, np.random.default_rng(3))


def test_constant_and_its_default():
    np.testing.assert_array_equal(filled(type="constant", value=2.5), np.full(SHAPE, 2.5))
    np.testing.assert_array_equal(filled(), np.zeros(SHAPE))


def test_uniform_covers_its_range():
    values = filled(type="uniform", min=-1, max=3)
    assert -1 <= values.min() < -0.99
    assert 2.99 < values.max() < 3
    assert values.mean() == pytest.approx(1, abs=0.05)


def test_gaussian_has_mean_and_std():
    values = filled(type="gaussian", mean=2, std=0.5)
    assert values.mean() == pytest.approx(2, abs=0.02)
    assert values.std() == pytest.approx(0.5, rel=0.03)


def test_sparse_gaussian_has_the_expected_number_of_inputs_per_output():
    values = filled((40, 500), type="gaussian", sparse=10)
    # 40 outputs, so that an entry stays with probability 10 / 40.
    assert (values != 0).mean() == pytest.approx(0.25, abs=0.02)
    assert values[values != 0].std() == pytest.approx(1, rel=0.05)


def test_positive_unitball_sums_to_one_for_each_output():
    values = filled(type="positive_unitball")
    assert values.min() >= 0
    np.testing.assert_allclose(values.reshape(30, -1).sum(1), np.ones(30), rtol=1e-5)


@pytest.mark.parametrize(
    ("norm", "n"),
    [("FAN_IN", FAN_IN), ("FAN_OUT", FAN_OUT), ("AVERAGE", (FAN_IN + FAN_OUT) / 2)],
)
def test_xavier_and_msra_scale_with_the_fan(norm, n):
    values = filled(type="xavier", variance_norm=norm)
    assert np.abs(values).max() == pytest.approx(np.sqrt(3 / n), rel=0.01)
    assert values.std() == pytest.approx(np.sqrt(1 / n), rel=0.03)
    values = filled(type="msra", variance_norm=norm)
    assert values.std() == pytest.approx(np.sqrt(2 / n), rel=0.03)


def test_a_vector_has_fan_in_one():
    assert np.abs(filled((5000,), type="xavier")).max() == pytest.approx(np.sqrt(3), rel=0.01)


@pytest.mark.parametrize(
    ("size", "line"),
    [
        (2, [0.5, 0.5]),
        (3, [0.5, 1, 0.5]),
        (4, [0.25, 0.75, 0.75, 0.25]),
        (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]),
    ],
)
def test_bilinear_is_a_symmetric_tent(size, line):
    values = filled((3, 2, size, size), type="bilinear")
    np.testing.assert_allclose(values, np.broadcast_to(np.outer(line, line), values.shape))


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        (SHAPE, {"type": "xaver"}, r'unknown filler type "xaver"\. Did you mean xavier'),
        (SHAPE, {"type": "uniform", "min": 2, "max": 1}, "max: 1 is below min: 2"),
        ((), {"type": "gaussian", "sparse": 3}, "sparse needs a parameter with at least one axis"),
        ((3, 4), {"type": "bilinear"}, r"must be \(F, C, k, k\), it is \(3, 4\)"),
        ((3, 4, 2, 3), {"type": "bilinear"}, r"must be \(F, C, k, k\)"),
    ],
)
def test_bad_fillers_raise_errors(shape, settings, message):
    with pytest.raises(NetError, match=message):
        filled(shape, **settings)
