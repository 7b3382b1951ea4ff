"""ContrastiveLoss."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import LossLayer, require_label_each
from minicaffe.layers.registry import register
from minicaffe.ops.loss import ContrastiveLoss as ContrastiveLossOp
from minicaffe.schema.minicaffe_pb2 import ContrastiveLossParameter


@register("ContrastiveLoss")
class ContrastiveLoss(LossLayer[ContrastiveLossParameter]):
    """Compute the contrastive loss of pairs of vectors, for siamese nets.

    Shapes: a (N, C), b (N, C), similar (N,) -> loss ()

    Notes
    -----
    With d the distance of a pair, a similar one (similar is 1) costs d^2 / 2, a dissimilar one (0)
    max(0, margin - d)^2 / 2, or with legacy_version max(0, margin - d^2) / 2; loss is the mean. The
    gradient of a dissimilar pair divides by d + 1e-4, so that it is finite for equal vectors. a and
    b may have further axes of size 1.

    References
    ----------
    Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping", 2006,
    equation 4.
    """

    bottoms = 3
    without_gradient = (2,)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there are pairs and plan."""
        super().reshape(bottom, top)
        a, b, similar = bottom
        for blob in (a, b):
            self.require_shape(
                len(blob.shape) > 1 and blob.count == blob.shape[0] * a.shape[1],
                f'bottoms "{a.name}" {a.shape} and "{b.name}" {b.shape} must both be (N, C)',
            )
        require_label_each(self, a, similar)
        op = ContrastiveLossOp(self.settings.margin, self.settings.legacy_version)
        tensors = (blob.data for blob in (*bottom, *top))
        self.kernel = self.plan(op, *tensors)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        self.kernel.forward(*(blob.data for blob in (*bottom, *top)))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the vectors' diffs."""
        self.require_no_gradient(propagate_down)
        wanted = zip(bottom[:2], propagate_down, strict=False)
        da, db = (blob.diff if needed else None for blob, needed in wanted)
        a, b, similar = (blob.data for blob in bottom)
        self.kernel.backward(a, b, similar, top[0].diff, da, db)
