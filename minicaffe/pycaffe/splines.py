"""Interpolation of arrays along one axis by B-splines, as SciPy's zoom does.

The coefficients are computed by recursive filters (Unser, Aldroubi and Eden, IEEE Transactions on
Signal Processing 41(2), 1993).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_PADDING = 12  # SciPy's: farther samples do not change a float32
_POLES = {
    2: (math.sqrt(8) - 3,),
    3: (math.sqrt(3) - 2,),
    4: (
        math.sqrt(664 - math.sqrt(438976)) + math.sqrt(304) - 19,
        math.sqrt(664 + math.sqrt(438976)) - math.sqrt(304) - 19,
    ),
    5: (
        math.sqrt(67.5 - math.sqrt(4436.25)) + math.sqrt(26.25) - 6.5,
        math.sqrt(67.5 + math.sqrt(4436.25)) - math.sqrt(26.25) - 6.5,
    ),
}


def interpolate(
    values: Floats, axis: int, at: Doubles, degree: int, beyond_border: float | None
) -> Floats:
    """Return the spline through the values of an axis at other positions.

    Parameters
    ----------
    values : ndarray
        The samples, at 0, 1, 2, ... along `axis`.
    axis : int
    at : ndarray
        Positions, at most half a sample outside.
    degree : int
        2 to 5.
    beyond_border : float or None
        The value of samples beyond the border; None reflects the samples at the border.
    """
    samples = np.moveaxis(values, axis, 0).astype(np.float64)
    shift = 0
    if beyond_border is not None:
        shift = _PADDING
        widths = [(shift, shift), *[(0, 0)] * (samples.ndim - 1)]
        samples = np.pad(samples, widths, constant_values=beyond_border)
    coefficients = _coefficients(samples, _POLES[degree])
    n = len(samples)
    first = np.floor(at + shift - (degree - 1) / 2).astype(int)
    result = np.zeros((len(at), *samples.shape[1:]))
    for offset in range(degree + 1):
        index = first + offset
        weight = _basis(at + shift - index, degree)
        result += coefficients[_reflected(index, n)] * weight.reshape(-1, *[1] * (samples.ndim - 1))
    return np.moveaxis(result, 0, axis).astype(np.float32)


def _coefficients(samples: Doubles, poles: tuple[float, ...]) -> Doubles:
    n = len(samples)
    if n == 1:
        return samples
    found = samples * math.prod((1 - pole) * (1 - 1 / pole) for pole in poles)
    for pole in poles:
        k = np.arange(n)
        weights = pole**k + pole ** (2 * n - 2 - k)
        weights[[0, -1]] /= 1 + np.array([pole ** (2 * n - 2), 1])
        found[0] = np.tensordot(weights, found, 1) / (1 - pole ** (2 * n - 2))
        for i in range(1, n):
            found[i] += pole * found[i - 1]
        found[-1] = pole / (pole * pole - 1) * (pole * found[-2] + found[-1])
        for i in range(n - 2, -1, -1):
            found[i] = pole * (found[i + 1] - found[i])
    return found


def _basis(x: Doubles, degree: int) -> Doubles:
    """Return the B-spline of a degree at x."""
    total = np.zeros_like(x)
    for k in range(degree + 2):
        power = np.maximum(x + (degree + 1) / 2 - k, 0) ** degree
        total += (-1) ** k * math.comb(degree + 1, k) * power
    return total / math.factorial(degree)


def _reflected(index: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    period = max(2 * n - 2, 1)
    folded: npt.NDArray[np.int64] = np.abs(index) % period
    return np.minimum(folded, period - folded) if n > 1 else folded * 0
