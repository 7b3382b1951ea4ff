"""BatchNorm."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import EpilogueOp, Shape
from minicaffe.ops.batch_norm import BatchNorm as BatchNormOp
from minicaffe.schema.minicaffe_pb2 import BatchNormParameter


@register("BatchNorm")
class BatchNorm(Layer[BatchNormParameter]):
    """Normalise each channel to mean 0 and variance 1, by statistics of the batch or averages.

    Shapes: x (N, C, ...) -> y (N, C, ...)

    Notes
    -----
    y = (x - mean) / sqrt(variance + eps). In the TRAIN phase mean and variance are those of the
    batch, and moving averages of them are updated; in the TEST phase (or with use_global_stats:
    true) the averages are used. A Scale layer with bias_term usually follows.

    Parameters: sum of means (C,), sum of variances (C,), sum of weights (1,). The average is the
    first or second divided by the third. Each sum is multiplied by moving_average_fraction before
    the batch's value, or 1, is added; variances enter it as m / (m - 1) times those of the m
    values. Solvers do not change them: their lr_mult is 0.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", 2015.
    """

    role = "normalization"
    in_place = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the statistics, with lr_mult 0."""
        channels = self._channels(bottom)
        for shape in ((channels,), (channels,), (1,)):
            self.add_parameter(shape)
        specs = self.param.param
        self.require(
            all(spec.lr_mult == 0 for spec in specs),
            "param: the statistics are not learned; set lr_mult: 0, or leave param out",
        )
        for _ in range(len(specs), len(self.blobs)):
            specs.add(lr_mult=0)

    @classmethod
    def order_in_file(cls, shapes: Sequence[Shape]) -> Sequence[int]:
        """Recognise the order of NVCaffe 0.15: scale, bias, mean, variance, sum of weights."""
        sizes = [math.prod(shape) for shape in shapes]
        if len(sizes) == 5 and sizes[2] > sizes[4] == 1:
            return (3, 4, 0, 1, 2)
        return super().order_in_file(shapes)

    def _channels(self, bottom: Blobs) -> int:
        shape = bottom[0].shape
        self.require_shape(shape, f'bottom "{bottom[0].name}" must have at least one axis')
        return shape[1] if len(shape) > 1 else 1

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        proto, channels = self.settings, self.blobs[0].count
        self.require_shape(
            self._channels(bottom) == channels,
            f'bottom "{bottom[0].name}" now has shape {bottom[0].shape}; the statistics are of '
            f"{channels} channels",
        )
        top[0].reshape(bottom[0].shape)
        stored = (
            proto.use_global_stats if proto.HasField("use_global_stats") else not self.is_training
        )
        self.op = BatchNormOp(stored, proto.moving_average_fraction, proto.eps)
        statistics = (blob.data for blob in self.blobs)
        self.kernel = self.plan(self.op, bottom[0].data, *statistics, top[0].data)

    def epilogue_op(self) -> EpilogueOp:
        """Return the op and its statistics."""
        return EpilogueOp(self.op, lambda: [blob.data for blob in self.blobs], keeps_input=True)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse ops that follow on the top into the kernel, as far as the backend supports it."""
        return self.context.backend.fuse(self.kernel, epilogue)

    @property
    def fuses_backward(self) -> bool:
        """Whether fused layers are fused backward: with statistics of the batch."""
        return not self.op.use_stored

    def recompute_forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top again without updating the statistics."""
        self.kernel.recompute_forward(top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top; in the TRAIN phase update the statistics."""
        mean, variance, weight = (blob.data for blob in self.blobs)
        self.kernel.forward(bottom[0].data, mean, variance, weight, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)
