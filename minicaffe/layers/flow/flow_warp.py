"""FlowWarp."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.flow.flow_warp import FlowWarp as FlowWarpOp
from minicaffe.schema.forks_pb2 import FlowWarpParameter


@register("FlowWarp")
class FlowWarp(Layer[FlowWarpParameter]):
    """Move the pixels of images by optical flow.

    Shapes: x (N, C, H, W), flow (N, 2, H, W) -> y (N, C, H, W)

    Notes
    -----
    Pixel (i, j) of y is the bilinear value of x at row i + flow[n, 1, i, j] and column
    j + flow[n, 0, i, j]: flow leads from y to x. Outside the image y is 0, or with fill_value:
    NOT_A_NUMBER NaN, and there is no gradient. The layer is that of FlowNet2.

    References
    ----------
    Ilg et al., "FlowNet 2.0: evolution of optical flow estimation with deep networks", 2017.
    """

    bottoms = 2

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the images' shape and plan."""
        x, flow = bottom
        self.require_shape(
            len(x.shape) == 4 and flow.shape == (x.shape[0], 2, *x.shape[2:]),
            f'bottom "{x.name}" must be (N, C, H, W) and "{flow.name}" (N, 2, H, W); they are '
            f"{x.shape} and {flow.shape}",
        )
        top[0].reshape(x.shape)
        is_zero = self.settings.fill_value == FlowWarpParameter.ZERO
        op = FlowWarpOp(0.0 if is_zero else math.nan)
        self.kernel = self.plan(op, x.data, flow.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        wanted = zip(bottom, propagate_down, strict=True)
        dx, dflow = (blob.diff if needed else None for blob, needed in wanted)
        if dx is not None or dflow is not None:
            self.kernel.backward(bottom[0].data, bottom[1].data, top[0].diff, dx, dflow)
