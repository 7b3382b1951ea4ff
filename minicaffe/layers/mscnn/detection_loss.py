"""DetectionLoss and DetectionAccuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.loss import LossLayer
from minicaffe.layers.mscnn.fields import (
    field_of,
    ignored_label,
    means_and_deviations,
    require_map_and_labels,
)
from minicaffe.layers.registry import register
from minicaffe.ops.mscnn.detection_loss import DetectionAccuracy as DetectionAccuracyOp
from minicaffe.ops.mscnn.detection_loss import DetectionLoss as DetectionLossOp
from minicaffe.ops.mscnn.detection_loss import Sampling
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import DetectionAccuracyParameter, DetectionLossParameter

_SAMPLING = ("random", "bootstrap", "mixture")


@register("DetectionLoss")
class DetectionLoss(LossLayer[DetectionLossParameter]):
    """Compute the loss of one of MS-CNN's maps: classes by softmax, boxes by smooth L1.

    Shapes: x (N, cls_num + 4, H, W), labels (N, 6, H, W) -> loss (1, 1, 1, 2)

    Notes
    -----
    A label has the class, center, size of the true box in pixels, and the IoU of field and box.
    Cells of a class other than 0 are positives; of those of class 0 with an IoU below
    bg_threshold, sample_mode chooses negatives: "random", "bootstrap" (those of largest logits),
    "mixture" of both, any other word all; bg_multiple times as many as positives. The top is
    [class + lambda * box, lambda * box], each a mean; its first loss weight multiplies the
    gradient. See `minicaffe.ops.mscnn.detection_loss`.

    Source: Cai, Fan, Feris, Vasconcelos, "A Unified Multi-scale Deep Convolutional Neural Network
    for Fast Object Detection", ECCV 2016.
    """

    shared_fields = ("bbox_reg_param", "loss_param")
    reads_bottoms = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        proto = self.settings
        mode = proto.sample_mode if proto.sample_mode in _SAMPLING else "all"
        self.require(
            not proto.objectness or proto.cls_num == 2,
            f"objectness: true needs cls_num: 2, it is {proto.cls_num}",
        )
        self.op = DetectionLossOp(
            proto.cls_num,
            field_of(self, proto),
            *means_and_deviations(self),
            scale=getattr(proto, "lambda"),
            is_smooth=proto.bb_smooth,
            negative_iou=proto.bg_threshold,
            multiple=proto.bg_multiple,
            sampling=cast(Sampling, mode),
            weights_iou=proto.iou_weighted,
            balances=proto.pos_neg_weighted,
            is_objectness=proto.objectness,
            ignore_label=ignored_label(self.param),
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes, shape the top and plan."""
        x, labels = bottom
        require_map_and_labels(self, x, labels, self.settings)
        top[0].reshape((1, 1, 1, 2))
        self.kernel = self.plan(self.op, x.data, labels.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        random = self.stream("negatives").generator()
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data, random)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the map's diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)


@register("DetectionAccuracy")
class DetectionAccuracy(Layer[DetectionAccuracyParameter]):
    """Compute the accuracy of classes and boxes in one of MS-CNN's maps.

    Shapes: x (N, cls_num + 4, H, W), labels (N, 6, H, W)
    -> accuracy (1, 1, 1, 2)[, iou (1, 1, 1, 1)]

    Notes
    -----
    x and labels are those of DetectionLoss. accuracy is the share of cells whose class is among
    the top_k largest logits, and the same over cells with an object; cells of class 0 with an IoU
    of bg_threshold or more do not count. iou is the mean IoU of predicted and true boxes. Without
    such cells they are -1.

    Source: Cai, Fan, Feris, Vasconcelos, "A Unified Multi-scale Deep Convolutional Neural Network
    for Fast Object Detection", ECCV 2016.
    """

    bottoms = 2
    tops = (1, 2)
    role = "output"
    shared_fields = ("loss_param",)
    without_gradient = (0, 1)
    reads_bottoms = False

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it needs labels."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings, and create the blob of the IoU for the case that no top holds it."""
        proto = self.settings
        self.require(
            1 <= proto.top_k <= proto.cls_num,
            f"top_k: {proto.top_k} must be from 1 to cls_num: {proto.cls_num}",
        )
        self.own_iou = Blob(self.context.backend, "iou")
        self.op = DetectionAccuracyOp(
            proto.cls_num,
            field_of(self, proto),
            proto.top_k,
            proto.bg_threshold,
            proto.objectness,
            ignored_label(self.param),
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes, shape the tops and plan."""
        require_map_and_labels(self, bottom[0], bottom[1], self.settings)
        self.iou = top[1] if len(top) > 1 else self.own_iou
        top[0].reshape((1, 1, 1, 2))
        self.iou.reshape((1, 1, 1, 1))
        tensors = (blob.data for blob in (*bottom, top[0], self.iou))
        self.kernel = self.plan(self.op, *tensors)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data, self.iou.data)
