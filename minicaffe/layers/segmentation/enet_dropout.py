"""SpatialDropoutLayer, the layer in Python of ENet."""

from __future__ import annotations

from typing import ClassVar

from minicaffe.layers.base import Blobs
from minicaffe.layers.faster_rcnn.settings import Value, read_settings
from minicaffe.layers.spatial_dropout import ChannelDropout
from minicaffe.schema.minicaffe_pb2 import PythonParameter


class SpatialDropoutLayer(ChannelDropout[PythonParameter]):
    """Set random channels of each sample to zero, if param_str says TRAIN.

    Shapes: x (N, C, ...) -> y (N, C, ...)

    Notes
    -----
    `spatial_dropout.SpatialDropoutLayer` of ENet. param_str is a dict of texts: phase, and p, the
    probability of zero. y[n, c] = x[n, c] * mask[n, c] / (1 - p), where mask is 0 with probability
    p in phase TRAIN, whatever the net's phase. In phase TEST mask is 1: the statistics in ENet's
    weights belong to values that are multiplied by 1 / (1 - p).

    Differs from ENet: there the gradient of every sample had the mask of the last one.
    """

    type = "Python"
    defaults: ClassVar[dict[str, Value]] = {"phase": "TRAIN", "p": "0.1"}

    def ratio(self) -> float:
        """Return p."""
        return self._p

    def drops(self) -> bool:
        """Return whether channels are dropped."""
        return self._phase == "TRAIN"

    def factor(self) -> float:
        """Return what channels that are not dropped are multiplied with."""
        return 1 / (1 - self._p)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read param_str; create the mask."""
        values = read_settings(self, self.defaults)
        self._phase = str(values["phase"])
        try:
            self._p = float(str(values["p"]))
        except ValueError:
            self.require(False, f"param_str: p: {values['p']!r} is no number")
        super().setup(bottom, top)
