"""DecodeBBox and BboxAccuracy."""

from __future__ import annotations

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.mscnn.fields import means_and_deviations
from minicaffe.layers.registry import register
from minicaffe.layers.rois.region_layer import BoxLayer, require_regions
from minicaffe.ops.mscnn.region_boxes import BoxAccuracy, DecodeBoxes
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import BBoxRegParameter, DecodeBBoxParameter

# Class, corners, IoU.
MATCH_VALUES = 6


@register("DecodeBBox")
class DecodeBBox(BoxLayer[DecodeBBoxParameter]):
    """Decode predicted offsets of regions to boxes: the regions of Cascade R-CNN's next stage.

    Shapes: codes (R, 8), rois (R, 5)[, matches (R, 6)] -> boxes (K, 5, 1, 1)

    Notes
    -----
    The last four of the eight codes are those of an object: (center - center) / size and log(size
    / size), with bbox_mean and bbox_std of bbox_reg_param. In the TRAIN phase, boxes of negative
    size are left out, and with matches, that ProposalTarget gives, those whose IoU with the true
    box is gt_iou_thr or more: the true boxes among the regions.

    Differs from Cascade R-CNN: no box at all is allowed.

    Source: Cai, Vasconcelos, "Cascade R-CNN: Delving into High Quality Object Detection", CVPR
    2018.
    """

    bottoms = (2, 3)
    without_gradient = (0, 1, 2)
    shared_fields = ("bbox_reg_param",)
    reads_bottoms = False

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter:
        """Return the layer without matches, which the TRAIN phase reads only."""
        if len(param.bottom) < 3:
            return param
        layer = LayerParameter()
        layer.CopyFrom(param)
        del layer.bottom[2:]
        return layer

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        limit = self.settings.gt_iou_thr
        self.op = DecodeBoxes(*means_and_deviations(self), self.is_training, limit)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes, give the top those of all boxes, and plan."""
        rois = bottom[1]
        require_regions(self, rois)
        n = rois.shape[0]
        require_values(self, bottom[0], n, 8)
        for blob in bottom[2:]:
            require_values(self, blob, n, MATCH_VALUES)
        top[0].reshape((n, 5, 1, 1))
        self.kernel = self.plan(self.op, *(blob.data for blob in (*bottom, *top)))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Decode boxes, reshape the top and overwrite it."""
        matches = bottom[2].data if len(bottom) > 2 else None
        n = self.kernel.decode(bottom[0].data, bottom[1].data, matches)
        top[0].reshape((n, 5, 1, 1))
        self.kernel.forward(top[0].data)


@register("BboxAccuracy")
class BboxAccuracy(Layer[BBoxRegParameter]):
    """Compute the mean IoU of decoded boxes with the true boxes, and that of the regions.

    Shapes: codes (R, 4C), rois (R, 5), matches (R, 6) -> after (1, 1, 1, 1)[, before (1, 1, 1, 1)]

    Notes
    -----
    Codes are those of DecodeBBox, four a class; with cls_aware: false the second four are used for
    every object. matches is a top of ProposalTarget. Regions without an object, and those with an
    IoU above 0.975, which are true boxes, do not count; -1 if none counts.

    Source: Cai, Fan, Feris, Vasconcelos, "A Unified Multi-scale Deep Convolutional Neural Network
    for Fast Object Detection", ECCV 2016.
    """

    bottoms = 3
    tops = (1, 2)
    role = "output"
    without_gradient = (0, 1, 2)
    reads_bottoms = False

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it needs labels."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings, and create the blob of the regions' IoU if no top holds it."""
        self.own_before = Blob(self.context.backend, "before", (1, 1, 1, 1))
        self.op = BoxAccuracy(*means_and_deviations(self), self.settings.cls_aware)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes, shape the tops and plan."""
        codes, rois, matches = bottom
        require_regions(self, rois)
        n = rois.shape[0]
        require_values(self, matches, n, MATCH_VALUES)
        self.require_shape(
            codes.shape[:1] == (n,) and codes.count % max(4 * n, 1) == 0 and codes.count >= 8 * n,
            f'bottom "{codes.name}" must be ({n}, 4 C), four values for 2 classes or more, '
            f"it is {codes.shape}",
        )
        for blob in top:
            blob.reshape((1, 1, 1, 1))
        self.before = top[1] if len(top) > 1 else self.own_before
        tensors = (blob.data for blob in (*bottom, top[0], self.before))
        self.kernel = self.plan(self.op, *tensors)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        self.kernel.forward([blob.data for blob in bottom], top[0].data, self.before.data)


def require_values(layer: Layer, blob: Blob, rows: int, values: int) -> None:
    """Raise a ShapeError unless the blob has so many rows of so many values."""
    layer.require_shape(
        blob.shape[:1] == (rows,) and blob.count == rows * values,
        f'bottom "{blob.name}" must be ({rows}, {values}), {values} values for each region, it is '
        f"{blob.shape}",
    )
