"""Grids of weights: rounding in loops, and the least squares among many scales."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.quantization.weight_grids import SCALE_RULES, on_grid, weight_grid


def drawn(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(len(shape))
    return (
        rng.standard_normal(shape) * rng.uniform(0.1, 2, shape[:1] + (1,) * (len(shape) - 1))
    ).astype(np.float32)


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("bits", [2, 3, 8, 16])
def test_rounding(axis, bits):
    weights = drawn(5, 3, 7)
    grid = weight_grid(weights, bits, "max", axis)
    assert len(grid.scales) == (1 if axis is None else weights.shape[axis])
    rounded, largest = on_grid(weights, grid), 2 ** (bits - 1) - 1
    for index, value in np.ndenumerate(weights):
        scale = grid.scales[0 if axis is None else index[axis]]
        expected = max(-largest, min(largest, round(float(value) * scale))) / scale
        assert rounded[index] == pytest.approx(expected, rel=1e-5)
    # The largest weight of each slice stays as it is.
    slices = weights[None] if axis is None else np.moveaxis(weights, axis, 0)
    found = rounded[None] if axis is None else np.moveaxis(rounded, axis, 0)
    for one, other in zip(slices, found, strict=True):
        assert np.abs(other).max() == pytest.approx(np.abs(one).max(), rel=1e-5)


@pytest.mark.parametrize("axis", [None, 1])
@pytest.mark.parametrize("bits", [2, 4])
def test_least_squares(axis, bits):
    weights = drawn(11, 6, 9)
    largest = 2 ** (bits - 1) - 1
    rounded = on_grid(weights, weight_grid(weights, bits, "least_squares", axis))
    slices = weights[None] if axis is None else np.moveaxis(weights, axis, 0)
    found = rounded[None] if axis is None else np.moveaxis(rounded, axis, 0)
    for one, other in zip(slices, found, strict=True):
        errors = []
        for limit in np.abs(one).max() * np.linspace(0.1, 1, 300):
            steps = np.clip(np.rint(one * largest / limit), -largest, largest)
            errors.append(np.square(steps * limit / largest - one).sum())
        assert np.square(other - one).sum() <= 1.01 * min(errors)


def test_large_layers_are_sampled():
    rng = np.random.default_rng(9)
    weights = rng.standard_normal((40, 300_000), np.float32)
    scales = weight_grid(weights, 4, "least_squares", 0).scales
    alike = [weight_grid(weights[:, :60_000], 4, "least_squares", 0).scales[k] for k in (0, 39)]
    # Shares of the largest weight are tried in steps of 0.025.
    assert scales[0] == pytest.approx(alike[0], rel=0.15)
    assert scales[39] == pytest.approx(alike[1], rel=0.15)
    assert np.std(scales) < 0.1 * np.mean(scales)


def test_power_of_two():
    weights = np.array([[0.9, -0.26, 0.6, -1.0]], np.float32)
    grid = weight_grid(weights, 4, "power_of_two", None)
    assert (grid.scales, grid.low, grid.high) == ((8.0,), -8, 7)
    np.testing.assert_array_equal(on_grid(weights, grid), [[0.875, -0.25, 0.625, -1]])


@pytest.mark.parametrize("rule", SCALE_RULES)
def test_rounding_again_changes_nothing(rule):
    weights = drawn(8, 33)
    axis = None if rule == "power_of_two" else 0
    for bits in range(2, 17):
        grid = weight_grid(weights, bits, rule, axis)
        once = on_grid(weights, grid)
        np.testing.assert_array_equal(on_grid(once, grid), once)


def test_zero_weights_stay_zero():
    weights = drawn(4, 5)
    weights[2] = 0
    for axis in (None, 0):
        assert not on_grid(weights, weight_grid(weights, 3, "least_squares", axis))[2].any()
    zeros = np.zeros((2, 3), np.float32)
    assert not on_grid(zeros, weight_grid(zeros, 8, "power_of_two", None)).any()
