"""Scale."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.broadcast import BroadcastLayer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import EpilogueOp, Tensor
from minicaffe.ops.scale import Scale as ScaleOp
from minicaffe.schema import FillerParameter
from minicaffe.schema.minicaffe_pb2 import ScaleParameter


@register("Scale")
class Scale(BroadcastLayer[ScaleParameter]):
    """Multiply by a factor, learned or a second bottom, broadcast along the other axes; add a bias.

    Shapes: x (...)[, factor (...)] -> y (...)

    Notes
    -----
    y = x s + b. s has the shape of num_axes axes of x from `axis` on (-1: all of them, 0: one
    number), or is the second bottom, whose shape must be that of x from `axis` on. s is
    initialised to 1 unless a filler is set, b (with bias_term) to 0.

    Parameters: factor, unless it is a bottom, then bias, of one shape.
    """

    can_recompute = True
    overwrites_top_diff = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create factor and bias."""
        proto = self.settings
        if len(bottom) == 1:
            ones = FillerParameter(type="constant", value=1)
            filler = proto.filler if proto.HasField("filler") else ones
            self.add_parameter(self.learned_shape(bottom[0]), filler)
        if proto.bias_term:
            self.add_parameter(self.operand(bottom).shape, proto.bias_filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        axis, s, b = self.broadcast_axis(bottom), self.operand(bottom), self._bias()
        self.require_shape(
            b is None or b.shape == s.shape,
            f"the factor now has shape {s.shape}; the bias was made for another",
        )
        top[0].reshape(bottom[0].shape)
        self.op = ScaleOp(axis, bias=b is not None)
        biases = () if b is None else (b,)
        self.kernel = self.plan(self.op, bottom[0].data, s.data, top[0].data, *biases)

    def epilogue_op(self) -> EpilogueOp | None:
        """Return the op and its parameters, unless the factor is a bottom."""
        if self.param.bottom[1:]:
            return None
        return EpilogueOp(
            self.op,
            lambda: [blob.data for blob in self.blobs],
            keeps_input=True,
            gradients=self.weight_diffs,
        )

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse ops that follow on the top into the kernel, as far as the backend supports it."""
        return self.context.backend.fuse(self.kernel, epilogue)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, self.operand(bottom).data, self._bias(), top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add to the parameters' diffs, overwrite the bottoms'; the first may be the top's."""
        dy, s = top[0].diff, self.operand(bottom)
        is_learned = len(bottom) == 1
        wanted = self.param_needs_diff[0] if is_learned else propagate_down[1]
        if wanted and not is_learned:
            s.diff.clear()
        has_bias = self.settings.bias_term and self.param_needs_diff[-1]
        db = self.blobs[-1].diff if has_bias else None
        if wanted or has_bias:
            self.kernel.backward_weights(bottom[0].data, dy, s.diff if wanted else None, db)
        if propagate_down[0]:
            self.kernel.backward_data(dy, s.data, bottom[0].diff)

    def _bias(self) -> Tensor | None:
        return self.blobs[-1].data if self.settings.bias_term else None
