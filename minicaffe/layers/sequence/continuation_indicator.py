"""ContinuationIndicator."""

from __future__ import annotations

import numpy as np

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.settable_batch import SettableBatch
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import ContinuationIndicatorParameter


@register("ContinuationIndicator")
class ContinuationIndicator(SettableBatch, Layer[ContinuationIndicatorParameter]):
    """Tell a recurrent layer where sequences begin: 0 in the first step, 1 in all others.

    Shapes: -> y (time_step, batch_size)

    Notes
    -----
    The second bottom of LSTM and RNN for batches of whole sequences. The layer is that of
    crnn.caffe.
    """

    role = "data"
    bottoms = 0

    @classmethod
    def set_batch(cls, param: LayerParameter, samples: int, batch: int) -> None:
        """Change batch_size, if it is `samples`."""
        if param.continuation_indicator_param.batch_size == samples:
            param.continuation_indicator_param.batch_size = batch

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape."""
        proto = self.settings
        for field in ("time_step", "batch_size"):
            self.require(
                getattr(proto, field) > 0, f"{field} is missing or 0; it must be at least 1"
            )
        top[0].reshape((proto.time_step, proto.batch_size))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Keep the shape."""

    def fill(self, top: Blobs) -> None:
        """Write the top, once: its values never change."""
        values = np.ones(top[0].shape)
        values[0] = 0
        top[0].data.set(values)

    def fill_count(self, top: Blobs) -> int:
        """Return the number of values that `fill` writes."""
        return top[0].count

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Do nothing: `fill` wrote the top."""
