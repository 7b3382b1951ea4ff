"""L1Loss."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import LossLayer
from minicaffe.layers.registry import register
from minicaffe.ops.flow.l1_loss import L1Loss as L1LossOp
from minicaffe.schema.forks_pb2 import L1LossParameter


@register("L1Loss")
class L1Loss(LossLayer[L1LossParameter]):
    """Compute the sum of absolute differences, or the end-point error of optical flow.

    Shapes: a (N, C, ...)[, b (N, C, ...)] -> loss ()

    Notes
    -----
    Two forks have this type. Without l1_loss_param (NVCaffe): loss = sum of |a - b| / N. With it
    (FlowNet2): entries of a - b that are NaN count as 0, as do those of at most `plateau`; with
    l2_per_location the loss is the sum over the pixels of sqrt(sum over the channels of (a - b)^2 +
    epsilon) / N, the mean over the channels with l2_prescale_by_channels. normalize_by_num_entries
    divides by the number of entries that are not NaN, over C, instead of by N. Without b it is 0.
    """

    bottoms = (1, 2)
    without_gradient = ()

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there are pairs and plan."""
        a, b = bottom[0], bottom[-1]
        self.require_shape(
            len(a.shape) > 1 and a.shape[0] == b.shape[0] and a.count == b.count,
            f'bottoms "{a.name}" {a.shape} and "{b.name}" {b.shape} must be (N, C, ...), with as '
            "many values",
        )
        top[0].reshape(())
        proto = self.settings
        op = L1LossOp()
        if self.param.HasField("l1_loss_param"):
            op = L1LossOp(
                proto.l2_per_location,
                proto.l2_prescale_by_channels,
                proto.normalize_by_num_entries,
                proto.epsilon,
                proto.plateau,
                skips_nan=True,
            )
        self.kernel = self.plan(op, a.data, top[0].data, *(blob.data for blob in bottom[1:]))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        b = bottom[1].data if len(bottom) > 1 else None
        self.kernel.forward(bottom[0].data, b, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        wanted = zip(bottom, propagate_down, strict=True)
        da, db = [*(blob.diff if needed else None for blob, needed in wanted), None][:2]
        b = bottom[1].data if len(bottom) > 1 else None
        if da is not None or db is not None:
            self.kernel.backward(bottom[0].data, b, top[0].diff, da, db)
