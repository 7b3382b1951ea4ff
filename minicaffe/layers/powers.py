"""Elementwise power, exponential and logarithm of scale * x + shift."""

from __future__ import annotations

import math

from minicaffe.layers.base import Blobs
from minicaffe.layers.elementwise import ActivationLayer
from minicaffe.layers.registry import register
from minicaffe.ops import activation as ops
from minicaffe.schema.minicaffe_pb2 import ExpParameter, LogParameter, PowerParameter

# The value of the field `base` that stands for e.
NATURAL = -1


def log_of_base(layer: ActivationLayer[ExpParameter | LogParameter]) -> float:
    """Return the natural logarithm of the base in the layer's settings."""
    base = layer.settings.base
    layer.require(
        base > 0 or base == NATURAL, f"base: {base:g} must be positive, or -1, which stands for e"
    )
    return 1.0 if base == NATURAL else math.log(base)


@register("Exp")
class Exp(ActivationLayer[ExpParameter]):
    """Raise a base to the power of each element.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = base^(scale x + shift), dy/dx = y scale log(base); base: -1 stands for e.
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        factor, proto = log_of_base(self), self.settings
        return ops.Exp(proto.scale * factor, proto.shift * factor)


@register("Log")
class Log(ActivationLayer[LogParameter]):
    """Compute the logarithm of each element to a base.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = log(scale x + shift) / log(base), dy/dx = scale / ((scale x + shift) log(base)); base: -1
    stands for e.

    Differs from Caffe: works in place with the right gradient; there it was taken at y.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Reject base 1, which has no logarithm."""
        self.require(self.settings.base != 1, "base: 1 has no logarithm; set another base")

    def op(self) -> ops.Activation:
        """Return the op."""
        factor, proto = 1 / log_of_base(self), self.settings
        return ops.Log(factor, proto.scale, proto.shift)


@register("Power")
class Power(ActivationLayer[PowerParameter]):
    """Raise each element, scaled and shifted, to a power.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = (scale x + shift)^power, dy/dx = power scale (scale x + shift)^(power - 1). A negative
    number to a power that is not an integer is nan.

    Differs from Caffe: works in place with the right gradient; there it was taken at y.
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        proto = self.settings
        return ops.Power(proto.power, proto.scale, proto.shift)
