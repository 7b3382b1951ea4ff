"""Rounding to a grid of small numbers, in place on the output."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Shape, Tensor
from minicaffe.ops.quantize import IntegerGrid, MiniFloat, PowersOfTwo, Quantize
from minicaffe.random import RandomStream


@kernel(Quantize)
class ReferenceQuantize(ReferenceKernel[Quantize]):
    """Round; random numbers have 16 bits."""

    def __init__(self, backend: ReferenceBackend, op: Quantize, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        if isinstance(op.grid, IntegerGrid):
            self._scales = self._along_axis(op.grid, tensors[0].shape, 1)
            # As in ONNX, where a scale is what an integer is multiplied with.
            self._steps = self._along_axis(op.grid, tensors[0].shape, -1)

    def _along_axis(self, grid: IntegerGrid, shape: Shape, power: int) -> float | Array:
        """Return the scales to a power, in a shape that broadcasts against x."""
        if len(grid.scales) == 1:
            return grid.scales[0] ** power
        scales = np.array(grid.scales) ** power
        after = len(shape) - grid.axis - 1
        return self.xp.asarray(scales.reshape(-1, *(1,) * after).astype(self.backend.dtype))

    def forward(self, x: Tensor, y: Tensor, stream: RandomStream | None) -> None:
        """Overwrite y."""
        given, out = x.read(), y.write()
        match self.op.grid:
            case IntegerGrid() as grid:
                self.xp.multiply(given, self._scales, out=out)
                self._round(out, stream)
                self.xp.clip(out, grid.low, grid.high, out=out)
                self.xp.multiply(out, self._steps, out=out)
            case MiniFloat() as grid:
                self._to_mini_float(given, out, grid, stream)
            case PowersOfTwo() as grid:
                self._to_power_of_two(given, out, grid, stream)

    def _to_mini_float(
        self, given: Array, out: Array, grid: MiniFloat, stream: RandomStream | None
    ) -> None:
        xp, mantissa = self.xp, grid.mantissa_bits
        bias = 2 ** (grid.exponent_bits - 1) - 1
        # float32 has no larger exponent than 127.
        largest = math.ldexp(2 - 2.0**-mantissa, min(2**grid.exponent_bits - 1 - bias, 127))
        values = xp.abs(given)
        # frexp gives fractions from 0.5 to 1.
        exponents = xp.frexp(values)[1] - 1
        rounded = xp.ldexp(values, mantissa - exponents)
        self._round(rounded, stream)
        rounded = xp.minimum(xp.ldexp(rounded, exponents - mantissa), largest)
        rounded[(exponents < -bias) & xp.isfinite(values)] = 0
        out[...] = xp.copysign(rounded, given)

    def _to_power_of_two(
        self, given: Array, out: Array, grid: PowersOfTwo, stream: RandomStream | None
    ) -> None:
        xp = self.xp
        is_negative = given < 0
        # Smaller values have the smallest exponent in any case, and 0 has no logarithm.
        exponents = xp.log2(xp.maximum(xp.abs(given), 2.0 ** (grid.exponent_min - 1)))
        self._round(exponents, stream)
        xp.clip(exponents, grid.exponent_min, grid.exponent_max, out=exponents)
        powers = xp.exp2(exponents)
        out[...] = xp.where(is_negative, -powers, powers)

    def _round(self, values: Array, stream: RandomStream | None) -> None:
        """Round in place."""
        if stream is None:
            self.xp.rint(values, out=values)
            return
        draws = self.xp.asarray(stream.bits(values.size).reshape(values.shape))
        values += draws.astype(values.dtype) * 2.0**-16
        self.xp.floor(values, out=values)
