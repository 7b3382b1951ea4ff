"""Proposal."""

from __future__ import annotations

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.rois.region_layer import ROI_VALUES, BoxLayer
from minicaffe.ops.rois.anchors import region_anchors
from minicaffe.ops.rois.proposal import Proposal as ProposalOp
from minicaffe.schema.minicaffe_pb2 import ProposalParameter


@register("Proposal")
class Proposal(BoxLayer[ProposalParameter]):
    """Propose regions from the scores and deltas of a region proposal network.

    Shapes: scores (1, 2A, H, W), deltas (1, 4A, H, W), info (1, 4) -> rois (K, 5)[, scores (K,)]

    Notes
    -----
    The A anchors are, for each ratio (height over width), base_size^2 pixels large with rounded
    sides, times each scale. info is rows and columns of the image, and by how much both were
    scaled; one scale for both will do. Boxes are cut to the image; those below min_size, in pixels
    before scaling, get the score 0. The best pre_nms_topn boxes go through non-maximum suppression
    with nms_thresh, the best post_nms_topn remain. As in PVANet, scale is a factor; in
    caffe-windows, whose layer has the same name and fields, it is a size in pixels.

    Source: Ren, He, Girshick, Sun, "Faster R-CNN", NIPS 2015; Kim et al., "PVANET", 2016.
    """

    bottoms = 3
    tops = (1, 2)
    without_gradient = (0, 1, 2)
    reads_bottoms = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        proto = self.settings
        for field in ("ratio", "scale"):
            values = list(getattr(proto, field))
            self.require(
                values and min(values) > 0,
                f"proposal_param {{ {field} }} must be given, numbers above 0; there are {values}",
            )
        for field in ("feat_stride", "base_size", "pre_nms_topn", "post_nms_topn"):
            self.require(getattr(proto, field) > 0, f"proposal_param {{ {field} }} must be above 0")
        self.op = ProposalOp(
            region_anchors(proto.base_size, proto.ratio, proto.scale),
            proto.feat_stride,
            proto.min_size,
            before=proto.pre_nms_topn,
            after=proto.post_nms_topn,
            threshold=proto.nms_thresh,
            drops_small=False,
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes, give the tops those of one region, and plan."""
        require_rpn_maps(self, bottom[0], bottom[1], len(self.op.anchors))
        require_image_info(self, bottom[2])
        top[0].reshape((1, ROI_VALUES))
        for blob in top[1:]:
            blob.reshape((1,))
        self.kernel = self.plan(self.op, *(blob.data for blob in (*bottom, *top)))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Find regions, reshape the tops and overwrite them."""
        n = self.kernel.propose(*(blob.data for blob in bottom))
        top[0].reshape((n, ROI_VALUES))
        for blob in top[1:]:
            blob.reshape((n,))
        self.kernel.forward(top[0].data, top[1].data if len(top) > 1 else None)


def require_rpn_maps(layer: Layer, scores: Blob, deltas: Blob, n: int) -> None:
    """Raise a ShapeError unless scores and deltas belong to n anchors of one image."""
    for blob, values in ((scores, 2), (deltas, 4)):
        layer.require_shape(
            len(blob.shape) == 4 and blob.shape == (1, values * n, *scores.shape[2:]),
            f'bottom "{blob.name}" must be (1, {values * n}, H, W), {values} values for each of '
            f'{n} anchors, with the H and W of "{scores.name}"; it is {blob.shape}',
        )


def require_image_info(layer: Layer, info: Blob) -> None:
    """Raise a ShapeError unless the blob has rows, columns and one or two scales."""
    layer.require_shape(
        info.count in (3, 4),
        f'bottom "{info.name}" must be (1, 3) or (1, 4): rows, columns, scale; it is {info.shape}',
    )
