"""Division by an invariant integer as a multiplication."""

from __future__ import annotations

import pytest

from minicaffe.backends.cuda.kernels._divisor import divisor

LARGEST = 2**31 - 1


@pytest.mark.parametrize("by", [1, 2, 3, 5, 7, 55, 64, 641, 1000, 46341, 2**30, 2**30 + 1, LARGEST])
def test_quotients_are_exact(by):
    size, factor, shift = divisor(by)
    assert size == by
    assert -(2**31) <= factor < 2**31
    near = {by * k + d for k in (1, 2, 3, 1000, LARGEST // by) for d in (-1, 0, 1)}
    for n in sorted({0, 1, LARGEST - 1, LARGEST} | {n for n in near if 0 <= n <= LARGEST}):
        assert ((n * (factor % 2**32) >> 32) + n) % 2**32 >> shift == n // by, n


def test_an_axis_without_values_can_be_divided_by():
    assert divisor(0) == divisor(1)
