"""Piecewise activation layers: Clip, ELU and ReLU."""

from __future__ import annotations

from minicaffe.layers.base import Blobs
from minicaffe.layers.elementwise import ActivationLayer
from minicaffe.layers.registry import register
from minicaffe.ops import activation as ops
from minicaffe.ops.backend import EpilogueOp
from minicaffe.schema.minicaffe_pb2 import ClipParameter, ELUParameter, ReLUParameter


@register("Clip")
class Clip(ActivationLayer[ClipParameter]):
    """Limit each element to the range from min to max.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = min if x < min, max if x > max, else x; dy/dx = 1 from min to max, else 0.

    Differs from Caffe: NaN stays NaN; there it became min.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the range."""
        low, high = self.settings.min, self.settings.max
        self.require(low <= high, f"clip_param: min: {low:g} must not be above max: {high:g}")

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Clip(self.settings.min, self.settings.max)


@register("ELU")
class ELU(ActivationLayer[ELUParameter]):
    """Apply the exponential linear unit (ELU), which saturates at -alpha.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = x if x > 0, else alpha (exp(x) - 1); dy/dx = 1 if x > 0, else y + alpha.

    References
    ----------
    Clevert et al., "Fast and accurate deep network learning by exponential linear units", 2015.
    """

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Elu(self.settings.alpha)


@register("ReLU")
class ReLU(ActivationLayer[ReLUParameter]):
    """Apply the rectified linear unit (ReLU); with negative_slope the leaky ReLU.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = max(x, 0) + negative_slope * min(x, 0), which is NaN for NaN.
    """

    def epilogue_op(self) -> EpilogueOp:
        """Return the op; without negative_slope its gradient needs only the top."""
        return EpilogueOp(self.op(), keeps_input=bool(self.settings.negative_slope))

    def op(self) -> ops.Activation:
        """Return the op."""
        return ops.Relu(self.settings.negative_slope)
