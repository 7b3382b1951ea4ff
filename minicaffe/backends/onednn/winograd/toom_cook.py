"""The matrices of Winograd's algorithm, computed from Toom-Cook interpolation points.

A correlation of m outputs with r taps is ``y = A^T ((G g) * (B^T d))`` on d of m + r - 1 values:
one multiplication for each value, where the definition takes m * r. Its transpose is the product of
two polynomials, computed from their values at m + r - 2 points and at infinity.

Source: S. Winograd, "Arithmetic complexity of computations" (1980); A. Lavin and S. Gray, "Fast
algorithms for convolutional neural networks" (2016), equations 5 to 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Any: of any precision.
Matrix = npt.NDArray[np.floating[Any]]


class Matrices(NamedTuple):
    """The matrices along one axis: float64, rounded once from exact fractions.

    Attributes
    ----------
    data : array (n, n)
        B^T, where n = m + r - 1.
    filters : array (n, r)
        G.
    outputs : array (m, n)
        A^T.
    """

    data: Matrix
    filters: Matrix
    outputs: Matrix


def matrices(points: Sequence[Fraction], outputs: int) -> Matrices:
    """Return the matrices for these different points, and the point at infinity.

    Parameters
    ----------
    points : sequence of Fraction
        One less than the values of a tile: ``outputs + taps - 2``.
    outputs : int
        The number of outputs of a tile.
    """
    taps = len(points) + 2 - outputs
    data, filters = [], []
    for i, point in enumerate(points):
        others = [*points[:i], *points[i + 1 :]]
        scale = Fraction(1)
        for other in others:
            scale *= point - other
        data.append([*_with_roots(others), Fraction(0)])
        filters.append([point**k / scale for k in range(taps)])
    data.append(_with_roots(points))
    filters.append([Fraction(k == taps - 1) for k in range(taps)])
    sums = [[point**i for point in points] + [Fraction(i == outputs - 1)] for i in range(outputs)]
    return Matrices(*(np.array(rows, dtype=np.float64) for rows in (data, filters, sums)))


def _with_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """Return the coefficients, lowest first, of the product of (x - root)."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [root * c for c in coefficients]
        coefficients = [a - b for a, b in zip(shifted, [*scaled, Fraction(0)], strict=True)]
    return coefficients
