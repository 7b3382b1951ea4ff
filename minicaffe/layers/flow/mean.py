"""Mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.data.mean import read_mean
from minicaffe.errors import DataError
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import HostArray
from minicaffe.ops.scale import Scale
from minicaffe.schema.forks_pb2 import MeanParameter


@register("Mean")
class Mean(Layer[MeanParameter]):
    """Subtract a mean from images, or add it, and scale them.

    Shapes: x (N, C, H, W) -> y (N, C, H, W)

    Notes
    -----
    y = output_scale (input_scale x - mean_scale mean) with operation: SUBTRACT, + with ADD. The
    mean is a `value` for each channel, or a mean image, `file`. The layer is that of FlowNet2.

    Differs from FlowNet2: there is a gradient, output_scale input_scale dy.
    """

    reads_bottoms = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the mean."""
        proto, x = self.settings, bottom[0]
        self.require_shape(
            len(x.shape) == 4, f'bottom "{x.name}" must be (N, C, H, W), it is {x.shape}'
        )
        self.require(proto.HasField("operation"), "operation is missing: ADD or SUBTRACT")
        self.require(
            bool(proto.file) != bool(proto.value),
            "mean_param needs `value`, one a channel, or `file`, and not both",
        )
        mean = self._mean()
        self.require_shape(
            mean.shape == x.shape[1 : 1 + mean.ndim],
            f'bottom "{x.name}" {x.shape} needs a mean of {x.shape[1]} channels'
            + (f" and {x.shape[2:]} pixels" if proto.file else "")
            + f"; it is {mean.shape}",
        )
        sign = -1 if proto.operation == MeanParameter.SUBTRACT else 1
        self.factor, self.shift = (self.context.backend.tensor(mean.shape) for _ in range(2))
        self.factor.set(np.full(mean.shape, proto.output_scale * proto.input_scale))
        self.shift.set(sign * proto.output_scale * proto.mean_scale * mean)

    def _mean(self) -> HostArray:
        if not self.settings.file:
            return np.array(self.settings.value)
        try:
            return read_mean(self.settings.file)
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        x = bottom[0]
        kept = self.shift.shape
        self.require_shape(
            x.shape[1 : 1 + len(kept)] == kept,
            f'bottom "{x.name}" now has shape {x.shape}; the mean was read for {kept}',
        )
        top[0].reshape(x.shape)
        tensors = (x.data, self.factor, top[0].data, self.shift)
        self.kernel = self.plan(Scale(axis=1, bias=True), *tensors)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, self.factor, self.shift, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward_data(top[0].diff, self.factor, bottom[0].diff)
