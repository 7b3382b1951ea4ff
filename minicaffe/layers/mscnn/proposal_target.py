"""ProposalTarget."""

from __future__ import annotations

from minicaffe.layers.base import Blobs
from minicaffe.layers.mscnn.fields import means_and_deviations
from minicaffe.layers.mscnn.region_boxes import MATCH_VALUES
from minicaffe.layers.registry import register
from minicaffe.layers.rois.region_layer import ROI_VALUES, BoxLayer, require_regions
from minicaffe.layers.without_labels import layer_without_labels
from minicaffe.ops.mscnn.region_boxes import RegionTarget
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import ProposalTargetParameter

_TRUTH_VALUES = 7


@register("ProposalTarget")
class ProposalTarget(BoxLayer[ProposalTargetParameter]):
    """Choose regions of several images to train on, and give them classes and targets.

    Shapes: rois (R, 5), truths (G, 7) -> rois (K, 5, 1, 1), labels (K, 1, 1, 1),
    targets (K, 4C, 1, 1), inside (K, 4C, 1, 1), outside (K, 4C, 1, 1), matches (K, 6, 1, 1)
    [, weights (K, 1, 1, 1)]

    Notes ----- truths are rows [image, x1, y1, x2, y2, class, ignored]. Regions, and the true boxes
    themselves, with an IoU of at least fg_thr are objects, those from bg_thr_lw to below bg_thr_hg
    background; those near an ignored box are left out. batch_size of them are chosen at random (-1:
    all), at most fg_fraction of them objects. With cls_aware: false in bbox_reg_param the targets
    do not depend on the class, and C is 2. matches are the true boxes [class, x1, y1, x2, y2, IoU],
    weights those of a softmax loss, balanced and, with iou_weighted, by IoU. See
    `minicaffe.ops.mscnn.region_boxes`.

    Differs from MS-CNN: if there are too few regions, there is no random box instead, so
    num_img_per_batch, img_width and img_height have no effect.

    Source: Cai, Fan, Feris, Vasconcelos, "A Unified Multi-scale Deep Convolutional Neural Network
    for Fast Object Detection", ECCV 2016.
    """

    bottoms = 2
    tops = (6, 7)
    without_gradient = (0, 1)
    shared_fields = ("bbox_reg_param",)
    reads_bottoms = False

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter:
        """Return a Split layer: all regions go on, without labels and targets."""
        return layer_without_labels(param, "Split")

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        proto = self.settings
        self.require(proto.cls_num > 1, f"cls_num: {proto.cls_num} must be at least 2")
        self.require(
            0 <= proto.fg_fraction <= 1, f"fg_fraction: {proto.fg_fraction:g} must be from 0 to 1"
        )
        means, deviations = means_and_deviations(self)
        self.op = RegionTarget(
            proto.cls_num,
            self.param.bbox_reg_param.cls_aware,
            proto.batch_size if proto.batch_size >= 0 else None,
            proto.fg_fraction,
            proto.fg_thr,
            proto.bg_thr_lw,
            proto.bg_thr_hg,
            means,
            deviations,
            proto.iou_weighted,
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes, give the tops those of one region, and plan."""
        rois, truths = bottom
        require_regions(self, rois)
        self.require_shape(
            truths.shape and truths.count == truths.shape[0] * _TRUTH_VALUES,
            f'bottom "{truths.name}" must be (G, 7): image, x1, y1, x2, y2, class, ignored; it is '
            f"{truths.shape}",
        )
        self._shape(top, 1)
        self.kernel = self.plan(self.op, *(blob.data for blob in (*bottom, *top)))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Choose regions, reshape the tops and overwrite them."""
        random = self.stream("regions").generator()
        self._shape(top, self.kernel.choose(bottom[0].data, bottom[1].data, random))
        self.kernel.forward([blob.data for blob in top])

    def _shape(self, top: Blobs, n: int) -> None:
        codes = 4 * (self.op.n_classes if self.op.has_class_codes else 2)
        sizes = ROI_VALUES, 1, codes, codes, codes, MATCH_VALUES, 1
        for blob, size in zip(top, sizes, strict=False):
            blob.reshape((n, size, 1, 1))
