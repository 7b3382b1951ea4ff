"""NegReLU."""

from __future__ import annotations

from minicaffe.layers.elementwise import ActivationLayer
from minicaffe.layers.registry import register
from minicaffe.ops import activation as ops
from minicaffe.schema.minicaffe_pb2 import ReLUParameter


@register("NegReLU")
class NegReLU(ActivationLayer[ReLUParameter]):
    """Keep negative values; positive ones are multiplied by negative_slope, 0 by default.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = min(x, 0) + negative_slope * max(x, 0). The layer is that of FlowNet2.
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.NegativeRelu(self.settings.negative_slope)
