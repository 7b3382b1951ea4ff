"""BatchNorm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minicaffe.layers.base import Blobs, Layer, LayerClass
from minicaffe.layers.batch_norm_with_scale import (
    BatchNormWithScale,
    require_computed,
    unread_of_forks,
    uses_stored,
)
from minicaffe.layers.over_ranks import BatchNormOverRanks, is_over_ranks
from minicaffe.layers.registry import register
from minicaffe.ops.backend import EpilogueOp
from minicaffe.ops.batch_norm import BatchNorm as BatchNormOp
from minicaffe.ops.batch_norm import BatchNormKernel
from minicaffe.schema import LayerParameter
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

    With scale_bias: true, scale_filler or bias_filler (NVCaffe), or use_weight_bias: true (Intel),
    the result is scaled and shifted as by a Scale layer, by two more parameters (C,), initialised
    to 1 and 0. NVCaffe's averages are fraction * average + (1 - fraction) * value of mean and
    variance + eps; the third parameter is 1 after the first batch, which they start with.

    In a training on several processes the statistics are those of a process's part of the batch,
    and the moving averages are averaged over the processes before tests and snapshots. With sync:
    true the statistics are those of the whole batch. That needs three sums over the processes in
    each iteration.

    Differs from NVCaffe: there the second batch replaces the averages as well.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", 2015.
    """

    role = "normalization"
    in_place = True
    overwrites_top_diff = True

    @classmethod
    def variant(cls, param: LayerParameter) -> LayerClass:
        """Return the class with or without scale and shift."""
        return BatchNormWithScale if BatchNormWithScale.is_meant(param.batch_norm_param) else cls

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield what every layer does, and the settings of forks that change nothing here."""
        yield from super().unread_settings(param)
        yield from unread_of_forks(param.batch_norm_param)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the statistics, with lr_mult 0."""
        require_computed(self)
        self.is_synchronous = is_over_ranks(self, self.settings.sync)
        channels = self._channels(bottom)
        for shape in ((channels,), (channels,), (1,)):
            self.add_parameter(shape)
        if not uses_stored(self):
            self.running_statistics = (0, 1, 2)
        specs = self.param.param
        self.require(
            all(spec.lr_mult == 0 for spec in specs),
            "param: the statistics are not learned; set lr_mult: 0, or leave param out",
        )
        for _ in range(len(specs), len(self.blobs)):
            specs.add(lr_mult=0)

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
        self.op = BatchNormOp(uses_stored(self), proto.moving_average_fraction, proto.eps)
        self.can_recompute = not self.op.use_stored and not self.is_synchronous
        self.saves_bottom = self.can_recompute
        x, y, statistics = bottom[0].data, top[0].data, tuple(blob.data for blob in self.blobs)
        self.kernel: BatchNormKernel = (
            BatchNormOverRanks(self, self.op, x, statistics, y)
            if self.is_synchronous and not self.op.use_stored
            else self.plan(self.op, x, *statistics, y)
        )

    def epilogue_op(self) -> EpilogueOp | None:
        """Return the op and its statistics, unless other processes have a part of these."""
        if self.is_synchronous:
            return None
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
