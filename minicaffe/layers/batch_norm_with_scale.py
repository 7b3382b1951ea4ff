"""BatchNorm with the settings of forks: scale and shift of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.channel_norm import ChannelNormLayer
from minicaffe.layers.over_ranks import is_over_ranks
from minicaffe.ops.backend import Shape
from minicaffe.ops.running_statistics import StatisticsForm
from minicaffe.schema import FillerParameter, LayerParameter
from minicaffe.schema.minicaffe_pb2 import BatchNormParameter

# cuDNN's least value, which NVCaffe uses at least.
_LEAST_EPS = 1e-5


def require_computed(layer: Layer[BatchNormParameter]) -> None:
    """Raise a NetError if a setting of a fork is on that changes values and is not computed."""
    for name in ("disable_mean", "disable_variance", "relu", "update_global_stats"):
        layer.require(
            not getattr(layer.settings, name),
            f"batch_norm_param: {name}: true, of a fork, is not computed; remove it"
            + (", and add a ReLU layer" if name == "relu" else ""),
        )


def uses_stored(layer: Layer[BatchNormParameter]) -> bool:
    """Return whether the layer normalises by the stored averages."""
    proto = layer.settings
    return proto.use_global_stats if proto.HasField("use_global_stats") else not layer.is_training


def is_intels(settings: BatchNormParameter) -> bool:
    """Return whether scale and shift are asked for as in Intel's Caffe."""
    return settings.HasField("use_weight_bias") and settings.use_weight_bias


def unread_of_forks(settings: BatchNormParameter) -> Iterator[str]:
    """Yield a sentence about a setting of forks that has no effect."""
    if settings.stats_batch_size:
        yield (
            "batch_norm_param.stats_batch_size has no effect: the statistics are those of the "
            "whole batch. Remove it."
        )
    if settings.HasField("filler") and not is_intels(settings):
        yield (
            "batch_norm_param.filler has no effect without a scale. Set use_weight_bias: true, or "
            "remove it; in Intel's nets a Scale layer follows."
        )


class BatchNormWithScale(ChannelNormLayer[BatchNormParameter]):
    """The variant of BatchNorm that scales and shifts; see there."""

    type = "BatchNorm"
    scaling = 3

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield what every layer does, and the settings of forks that change nothing here."""
        yield from super().unread_settings(param)
        yield from unread_of_forks(param.batch_norm_param)

    @classmethod
    def is_meant(cls, settings: BatchNormParameter) -> bool:
        """Return whether the settings ask for scale and shift.

        Intel's nets have a `filler` in front of a Scale layer, without effect in its CAFFE engine.
        """
        is_nvidias = settings.HasField("bias_filler") and not settings.HasField("filler")
        is_nvidias |= settings.scale_bias or settings.HasField("scale_filler")
        return is_nvidias or is_intels(settings)

    @classmethod
    def statistics_of(cls, settings: BatchNormParameter) -> tuple[StatisticsForm, float, float]:
        """Return form, fraction and eps of the running statistics."""
        fraction = settings.moving_average_fraction
        if is_intels(settings):
            return "sums", fraction, settings.eps
        return "started", fraction, max(settings.eps, _LEAST_EPS)

    @classmethod
    def order_in_file(cls, shapes: Sequence[Shape]) -> Sequence[int]:
        """Recognise the order of NVCaffe 0.15: scale, bias, mean, variance, sum of weights."""
        sizes = [math.prod(shape) for shape in shapes]
        if len(sizes) == 5 and sizes[2] > sizes[4] == 1:
            return (3, 4, 0, 1, 2)
        return super().order_in_file(shapes)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create statistics, with lr_mult 0, scale and shift."""
        require_computed(self)
        super().setup(bottom, top)
        proto, n = self.settings, self.channels(bottom)
        self.require(proto.bias_term, "bias_term: false is not possible with use_weight_bias: true")
        self.uses_batch = not uses_stored(self)
        self.is_synchronous = is_over_ranks(self, proto.sync)
        self.running_statistics = (0, 1, 2) if self.uses_batch else ()
        self.statistics = self.statistics_of(proto)
        for shape in ((n,), (n,), (1,)):
            self.add_parameter(shape)
        filler = "filler" if is_intels(proto) else "scale_filler"
        ones = FillerParameter(type="constant", value=1)
        self.add_parameter((n,), getattr(proto, filler) if proto.HasField(filler) else ones)
        self.add_parameter((n,), proto.bias_filler)
        self.fix(0, 1, 2)
