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
    largest = np.abs(weights).max(axis=_others(weights, axis), initial=0).astype(np.float64)
    if rule == POWER_OF_TWO:
        return IntegerGrid.fixed_point(bits, fraction_bits(float(largest.max()), bits))
    limits = np.where(largest > 0, largest, 1.0).reshape(-1)
    if rule == "least_squares":
        limits = _least_squares(weights, bits, limits, axis)
    return _symmetric(bits, limits, axis)


def _least_squares(weights: Floats, bits: int, largest: Doubles, axis: int | None) -> Doubles:
    """Return the largest number of each channel with which its weights change least."""
    candidates = _SHARES[:, None] * largest
    errors = []
    for limits in candidates:
        change = on_grid(weights, _symmetric(bits, limits, axis)) - weights
        errors.append(np.square(change).sum(axis=_others(weights, axis)).reshape(-1))
    best: Doubles = candidates[np.argmin(errors, axis=0), np.arange(len(largest))]
    return best


def _symmetric(bits: int, limits: Doubles, axis: int | None) -> IntegerGrid:
    # Rounded to float32, because quantization_param stores them so.
    scales = ((2 ** (bits - 1) - 1) / limits).astype(np.float32)
    return IntegerGrid.symmetric(bits, tuple(scales.tolist()), axis or 0)


def _others(weights: Floats, axis: int | None) -> tuple[int, ...]:
    return tuple(k for k in range(weights.ndim) if k != axis)


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
