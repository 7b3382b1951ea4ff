"""Rounding to a grid of small numbers: what every backend must compute.

Tensors in planning order: x, y of one shape; y may be x. Values outside of the grid become its
smallest or its largest number; NaN stays NaN. There is no gradient: layers pass it straight
through. ``round`` is to the nearest, half to even; if the op is stochastic it is floor(v + u)
instead, u uniform in [0, 1), so that the expectation is v:

    IntegerGrid         y = clip(round(x s), low, high) / s, s the scale of the slice along `axis`
    MiniFloat           y = sign(x) round(|x| 2^(m - e)) 2^(e - m), e = floor(log2 |x|), m mantissa
                        bits; 0 where e < -bias, the largest number where e > 2^exponent_bits - 1 -
                        bias, or where rounding leads there; bias = 2^(exponent_bits - 1) - 1
    PowersOfTwo         y = sign(x) 2^clip(round(log2 |x|), exponent_min, exponent_max); the sign
                        of 0 is +

The random numbers are a function of the stream's (seed, name, step) only, so that a resumed run
repeats them; a forward pass of a stochastic op advances the stream by one step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor
from minicaffe.random import RandomStream


@dataclass(frozen=True)
class IntegerGrid:
    """The integers from `low` to `high`, divided by a scale.

    Parameters
    ----------
    scales : tuple of float
        One number, or one for each slice of x along `axis`; all positive.
    low, high : int
        The smallest and the largest integer.
    axis : int
        Of x.
    """

    scales: tuple[float, ...]
    low: int
    high: int
    axis: int = 0

    @classmethod
    def fixed_point(cls, bits: int, fraction_bits: int) -> IntegerGrid:
        """Return the grid of two's complement numbers of which some bits are the fraction's."""
        return cls((2.0**fraction_bits,), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    @classmethod
    def symmetric(cls, bits: int, scales: tuple[float, ...], axis: int = 0) -> IntegerGrid:
        """Return the grid that has -v for each v: two's complement without the smallest number."""
        largest = 2 ** (bits - 1) - 1
        return cls(scales, -largest, largest, axis)


@dataclass(frozen=True)
class MiniFloat:
    """Floating point numbers of few bits, without denormal ones, infinity and NaN."""

    mantissa_bits: int
    exponent_bits: int


@dataclass(frozen=True)
class PowersOfTwo:
    """Powers of two and their negatives, without 0."""

    exponent_min: int
    exponent_max: int


Grid: TypeAlias = IntegerGrid | MiniFloat | PowersOfTwo


@dataclass(frozen=True)
class Quantize(Op["QuantizeKernel"]):
    """Describe a rounding to a grid."""

    grid: Grid
    is_stochastic: bool = False


class QuantizeKernel(Protocol):
    """Round, which has no gradient."""

    def forward(self, x: Tensor, y: Tensor, stream: RandomStream | None) -> None:
        """Overwrite y, which may be x itself; the stream is None unless the op is stochastic."""
