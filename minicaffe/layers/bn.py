"""BN: three layers of this name, told apart by their settings."""

from __future__ import annotations

from minicaffe.layers.base import Blobs
from minicaffe.layers.channel_norm import ChannelNormLayer
from minicaffe.layers.over_ranks import is_over_ranks
from minicaffe.layers.registry import register
from minicaffe.ops.layout import Copy
from minicaffe.ops.running_statistics import StatisticsForm
from minicaffe.schema import FillerParameter
from minicaffe.schema.forks_pb2 import BNParameter

# Of SegNet's layer, which has no setting for it.
_SEGNET_EPS = 1e-9
_OF_SEGNET = ("scale_filler", "shift_filler", "bn_mode")
_OF_PSPNET = ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "engine", "fourth_blob")


@register("BN")
class BN(ChannelNormLayer[BNParameter]):
    """Normalise each channel by statistics, then scale and shift it.

    Shapes: x (N, C, ...) -> y (N, C, ...)[, mean (1, C, 1, 1), variance (1, C, 1, 1)]

    Notes
    -----
    SegNet's and ENet's layer, with scale_filler, shift_filler or bn_mode: with bn_mode: LEARN
    y = s (x - mean) / sqrt(variance + 1e-9) + b by the statistics of the batch, in the TEST phase
    as well; with INFERENCE y = s x + b. The second and third top hold the statistics.

    PSPNet's layer, otherwise: as BatchNorm and Scale together, with moving averages
    momentum * average + (1 - momentum) * value of mean and variance (divided by the number of
    values). frozen: true uses the averages in the TRAIN phase as well and learns nothing.
    In nets of happynear's Caffe the fourth blob is the average of 1 / sqrt(variance + eps): set
    fourth_blob: INVERSE_DEVIATION.

    sync: true is that of BatchNorm, for both.

    Differs from PSPNet: the gradient in the TEST phase is that of the averages; there it has the
    terms of a batch's statistics.

    Parameters: s, b and, in PSPNet's layer, running mean and running variance, (1, C, 1, 1); or
    (1, C) if the settings name an engine or the fourth blob, as in files of yjxiong's and
    happynear's Caffe.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", 2015.
    """

    tops = (1, 3)

    @property
    def is_segnets(self) -> bool:
        """Whether it is SegNet's layer."""
        return any(self.settings.HasField(name) for name in _OF_SEGNET)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the parameters; statistics are not learned, and nothing if frozen."""
        super().setup(bottom, top)
        proto, is_segnets = self.settings, self.is_segnets
        others = [name for name in _OF_PSPNET if proto.HasField(name)]
        self.require(
            not (is_segnets and others),
            f"bn_param: {', '.join(_OF_SEGNET)} are for SegNet's layer and "
            f"{', '.join(others)} for PSPNet's; remove those of one",
        )
        self.require(
            is_segnets or len(top) == 1, "the tops mean and variance exist in SegNet's layer only"
        )
        n = self.channels(bottom)
        self.is_synchronous = is_over_ranks(self, proto.sync)
        is_row = proto.HasField("engine") or proto.HasField("fourth_blob")
        shape = (1, n) if is_row else (1, n, 1, 1)
        scale, shift = _OF_SEGNET[:2] if is_segnets else _OF_PSPNET[:2]
        ones = FillerParameter(type="constant", value=1)
        self.add_parameter(shape, getattr(proto, scale) if proto.HasField(scale) else ones)
        self.add_parameter(shape, getattr(proto, shift))
        if is_segnets:
            self.statistics = ("variance", 0.0, _SEGNET_EPS)
            self.uses_batch = proto.bn_mode == BNParameter.LEARN
            self.require(
                self.uses_batch or len(top) == 1, "bn_mode: INFERENCE computes no mean and variance"
            )
            return
        self.learns = not proto.frozen
        self.uses_batch = self.is_training and self.learns
        is_inverse = proto.fourth_blob == BNParameter.INVERSE_DEVIATION
        form: StatisticsForm = "inverse_deviation" if is_inverse else "variance"
        self.statistics = (form, proto.momentum, proto.eps)
        self.running_statistics = (2, 3) if self.uses_batch else ()
        self.add_parameter(shape)
        self.add_parameter(shape, ones if proto.frozen else None)
        self.fix(*range(0 if proto.frozen else 2, 4))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Shape the tops and plan."""
        super().reshape(bottom, top)
        found = (self.mean, self.variance)
        for blob in top[1:]:
            blob.reshape((1, self.mean.count, 1, 1))
        self.copies = [
            self.plan(Copy(), statistic.data, blob.data)
            for statistic, blob in zip(found, top[1:], strict=False)
        ]

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops; with statistics of the batch update the running ones."""
        super().forward(bottom, top)
        found = (self.mean, self.variance)
        for copy, statistic, blob in zip(self.copies, found, top[1:], strict=False):
            copy.forward(statistic.data, blob.data)
