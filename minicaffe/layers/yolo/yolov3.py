"""Yolov3 and GaussianYolov3: the losses of YOLO v3."""

from __future__ import annotations

from typing import ClassVar, cast

from minicaffe.layers.registry import register
from minicaffe.layers.yolo.yolo_loss import YoloLossLayer, anchors_of
from minicaffe.ops.yolo.yolov3_loss import BoxLoss, GaussianYolov3Loss, Yolov3Loss
from minicaffe.schema.minicaffe_pb2 import Yolov3Parameter


class Yolov3Layer(YoloLossLayer[Yolov3Parameter]):
    """A loss of one map of YOLO v3."""

    idle_fields: ClassVar[tuple[str, ...]] = ("noobject_scale",)
    op_class: ClassVar[type[Yolov3Loss]] = Yolov3Loss
    # Channels of a box and its objectness.
    box_channels: ClassVar[int] = 5

    def loss_op(self) -> Yolov3Loss:
        """Return the op from the settings."""
        proto, mask = self.settings, tuple(self.settings.mask)
        anchors = anchors_of(self, proto.biases, proto.anchors_scale)
        self.require(
            len(mask) == proto.num,
            f"num: {proto.num} must be the number of anchors that mask names, {len(mask)}",
        )
        self.require(
            max(mask, default=0) < len(anchors),
            f"mask: {max(mask, default=0)} is not an anchor; biases gives {len(anchors)}, from 0",
        )
        box_loss = Yolov3Parameter.IOU_LOSS.Name(proto.iou_loss).lower()
        return self.op_class(
            anchors,
            mask,
            proto.num_class,
            threshold=proto.thresh,
            match_threshold=proto.iou_thresh,
            object_scale=proto.object_scale if proto.use_logic_gradient else 1.0,
            class_scale=proto.class_scale,
            coord_scale=proto.coord_scale,
            box_loss=cast(BoxLoss, box_loss),
            box_weight=proto.iou_normalizer,
            max_delta=proto.max_delta,
            accumulates=proto.accumulate,
            smoothing=proto.label_smooth_eps,
            is_focal=proto.use_focal_loss,
            has_sigmoid_slope=proto.use_logic_gradient,
        )

    def channels(self) -> int:
        """Return the number of channels of the map."""
        return int(self.settings.num * (self.box_channels + self.settings.num_class))


@register("Yolov3")
class Yolov3(Yolov3Layer):
    """Compute the loss of one map of YOLO v3 from predictions and the true boxes.

    Shapes: x (N, num * (5 + num_class), H, W), labels (N, G, 5) -> loss ()

    Notes
    -----
    x and labels are those of RegionLoss; all classes go through the sigmoid. biases are the widths
    and heights of the anchors of all maps in pixels, mask names those of this one, anchors_scale is
    the number of pixels of a cell. Each truth trains the best anchor, if mask names it, and all of
    mask that overlap it by more than iou_thresh. The targets of classes are 1 - e and e, with e =
    label_smooth_eps / 2.

    loss = sum of squared deltas / N; the gradient is - delta / N, not the loss's derivative.
    iou_loss replaces the squares of boxes by iou_normalizer * mean(1 - measure), and measures
    overlap alike; its gradient, which accumulates over truths with accumulate, is cut to
    max_delta. use_logic_gradient multiplies the gradient by the sigmoid's slope, and objectness of
    truths by object_scale, which has no effect without it; noobject_scale has none. See
    `minicaffe.ops.yolo`.

    Differs from MobileNet-YOLO: class_scale multiplies the deltas of all truths, not only of the
    first one in a cell.

    Source: Redmon, Farhadi, "YOLOv3: An Incremental Improvement", 2018.
    """


@register("GaussianYolov3")
class GaussianYolov3(Yolov3Layer):
    """Compute the loss of one map of Gaussian YOLO v3, which predicts the deviation of boxes, too.

    Shapes: x (N, num * (9 + num_class), H, W), labels (N, G, 5) -> loss ()

    Notes
    -----
    As Yolov3; a prediction has the channels x, its deviation, y, dy, w, dw, h, dh, objectness and
    classes. Boxes learn by their likelihood under Gaussian distributions, with the weight
    iou_normalizer; the loss counts them by iou_normalizer * mean(1 - IoU). iou_loss and
    label_smooth_eps have no effect.

    Source: Choi, Chun, Kim, Lee, "Gaussian YOLOv3", ICCV 2019.
    """

    idle_fields = ("noobject_scale", "iou_loss", "label_smooth_eps")
    op_class = GaussianYolov3Loss
    box_channels = 9
