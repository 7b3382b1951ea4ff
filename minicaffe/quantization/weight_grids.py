"""Grids of weights: bits and scales, and rounding to them.

The rules that choose scales are

    least_squares  the sum of the squared changes of the weights is the least
    max            the largest weight becomes the largest number, as in ncnn and TensorRT
    power_of_two   a power of two that keeps the largest weight in reach: Ristretto's dynamic fixed
                   point, in which the bias is rounded as well
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from minicaffe.backends import get_backend
from minicaffe.ops.backend import Backend
from minicaffe.ops.quantize import IntegerGrid, Quantize
from minicaffe.quantization.ranges import fraction_bits

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

POWER_OF_TWO = "power_of_two"
SCALE_RULES = ("least_squares", "max", POWER_OF_TWO)
# The rule least_squares tries these shares of the largest weight as the largest number.
_SHARES = np.linspace(1.0, 0.1, 37)
# ... on so many weights of a layer, because the largest layers have 100 million.
_MOST_VALUES = 1 << 21


def weight_grid(weights: Floats, bits: int, rule: str, axis: int | None) -> IntegerGrid:
    """Return the grid of a layer's weights.

    Parameters
    ----------
    weights : ndarray
    bits : int
        At least 2.
    rule : str
        One of `SCALE_RULES`.
    axis : int or None
        The axis of the output channels, each of which has a scale; None for one scale. Not for
        the rule power_of_two.
    """
    rows = weights.reshape(1, -1) if axis is None else _rows(weights, axis)
    largest = np.abs(rows).max(axis=1, initial=0).astype(np.float64)
    if rule == POWER_OF_TWO:
        return IntegerGrid.fixed_point(bits, fraction_bits(float(largest.max()), bits))
    limits = np.where(largest > 0, largest, 1.0)
    if rule == "least_squares":
        limits = _least_squares(rows, bits, limits)
    return _symmetric(bits, limits, axis or 0)


def _rows(weights: Floats, axis: int) -> Floats:
    return np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)


def _least_squares(rows: Floats, bits: int, largest: Doubles) -> Doubles:
    """Return the largest number of each row with which its weights change least."""
    sample = _sample(rows)
    candidates = _SHARES[:, None] * largest
    errors = []
    for limits in candidates:
        change = on_grid(sample, _symmetric(bits, limits, 0)) - sample
        errors.append(np.square(change).sum(axis=1))
    best: Doubles = candidates[np.argmin(errors, axis=0), np.arange(len(largest))]
    return best


def _sample(rows: Floats) -> Floats:
    """Return the same columns of each row, drawn at random, or all of them if they are few."""
    n = max(1, _MOST_VALUES // len(rows))
    if rows.shape[1] <= n:
        return rows
    columns = np.random.default_rng(0).choice(rows.shape[1], n, replace=False)
    return rows[:, np.sort(columns)]


def _symmetric(bits: int, limits: Doubles, axis: int) -> IntegerGrid:
    # Rounded to float32, because quantization_param stores them so.
    scales = ((2 ** (bits - 1) - 1) / limits).astype(np.float32)
    return IntegerGrid.symmetric(bits, tuple(scales.tolist()), axis)


def on_grid(values: Floats, grid: IntegerGrid) -> Floats:
    """Return values rounded to a grid, as layers round them."""
    backend = _rounding_backend()
    x, y = backend.tensor(values.shape), backend.tensor(values.shape)
    x.set(values)
    backend.plan(Quantize(grid), x, y).forward(x, y, None)
    return y.get()


@cache
def _rounding_backend() -> Backend:
    return get_backend("reference")
