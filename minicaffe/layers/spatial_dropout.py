"""SpatialDropout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer, P
from minicaffe.layers.dropout import require_ratio
from minicaffe.layers.registry import register
from minicaffe.ops.dropout import Dropout, DropoutKernel
from minicaffe.ops.layout import Copy
from minicaffe.ops.scale import Scale
from minicaffe.schema.forks_pb2 import SpatialDropoutParameter


class ChannelDropout(Layer[P]):
    """Base of the layers that set random channels of each sample to zero."""

    in_place = True
    reads_bottoms = False

    def ratio(self) -> float:
        """Return the probability of zero."""
        raise NotImplementedError

    def drops(self) -> bool:
        """Return whether channels are dropped."""
        return self.is_training

    def factor(self) -> float:
        """Return what channels that are not dropped are multiplied with."""
        return 1 / (1 - self.ratio()) if self.drops() else 1

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the ratio; create the mask."""
        require_ratio(self, self.ratio())
        self.ones, self.mask = (Blob(self.context.backend, "mask") for _ in range(2))
        self.dropout: DropoutKernel | None = None

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        shape = bottom[0].shape
        self.require_shape(
            len(shape) >= 2, f'bottom "{bottom[0].name}" must be (N, C, ...), it is {shape}'
        )
        top[0].reshape(shape)
        x, y = bottom[0].data, top[0].data
        if self.factor() == 1:
            self.copy = self.plan(Copy(), x, y)
            return
        for blob in (self.ones, self.mask):
            blob.reshape(shape[:2])
        self.ones.data.set(np.ones(shape[:2]))
        self.mask.data.set(np.full(shape[:2], self.factor()))
        if self.drops():
            op = Dropout(self.ratio(), self.factor())
            self.dropout = self.plan(op, self.ones.data, self.mask.data)
        self.product = self.plan(Scale(0), x, self.mask.data, y)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        if self.dropout is not None:
            self.dropout.forward(self.ones.data, self.mask.data, self.stream("mask"))
        if self.factor() != 1:
            self.product.forward(bottom[0].data, self.mask.data, None, top[0].data)
        elif bottom[0] is not top[0]:
            self.copy.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0] and self.factor() != 1:
            self.product.backward_data(top[0].diff, self.mask.data, bottom[0].diff)
        elif propagate_down[0] and bottom[0] is not top[0]:
            self.copy.forward(top[0].diff, bottom[0].diff)


@register("SpatialDropout")
class SpatialDropout(ChannelDropout[SpatialDropoutParameter]):
    """Set random channels of each sample to zero in the TRAIN phase; copy in the TEST phase.

    Shapes: x (N, C, ...) -> y (N, C, ...)

    Notes
    -----
    y[n, c] = x[n, c] * mask[n, c] / (1 - dropout_ratio), where mask is 0 with probability
    dropout_ratio, else 1. A layer of Intel's Caffe.

    References
    ----------
    Tompson et al., "Efficient object localization using convolutional networks", 2015.
    """

    def ratio(self) -> float:
        """Return dropout_ratio."""
        return self.settings.dropout_ratio
