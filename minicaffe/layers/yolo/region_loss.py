"""RegionLoss: the loss of YOLO v2."""

from __future__ import annotations

from minicaffe.layers.registry import register
from minicaffe.layers.yolo.yolo_loss import YoloLossLayer, anchors_of
from minicaffe.ops.yolo.region_loss import RegionLoss as RegionLossOp
from minicaffe.schema.minicaffe_pb2 import RegionLossParameter


@register("RegionLoss")
class RegionLoss(YoloLossLayer[RegionLossParameter]):
    """Compute the loss of YOLO v2 from predictions and the true boxes.

    Shapes: x (N, num * (5 + num_class), H, W), labels (N, G, 5) -> loss ()

    Notes ----- x has, for each anchor, x, y, w, h, objectness and the classes; biases are the
    anchors' widths and heights in cells. labels are rows [class, x, y, w, h], a center and a size
    as shares of the image; a row of zeros ends the list. Those of SSD's AnnotatedData, as Intel's
    Caffe feeds them, do as well: rows of 8 values with labels from 1. Each truth trains the anchor
    that fits best in the cell of its center (the prediction that fits best if bias_match is 0); all
    other objectness is trained to be 0, unless its box overlaps a truth by more than thresh.

    loss = sum of squared deltas / N; the gradient is - delta / N, not the loss's derivative:
    sigmoid slopes are in the deltas of x, y and objectness only. See `minicaffe.ops.yolo`.

    Differs from MobileNet-YOLO: biases must be given, 2 for each of the num anchors (there fewer
    than 10 numbers meant zeros); softmax: 0 takes the classes through the sigmoid, as in darknet.

    Source: Redmon, Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017.
    """

    idle_fields = ("jitter", "absolute", "random", "class_map")

    def loss_op(self) -> RegionLossOp:
        """Return the op from the settings."""
        proto = self.settings
        anchors = anchors_of(self, proto.biases)
        self.require(
            len(anchors) == proto.num,
            f"num: {proto.num} anchors need {2 * proto.num} biases, there are {len(proto.biases)}",
        )
        self.require(proto.coords == 4, f"coords: {proto.coords} must be 4: x, y, w, h")
        self.require(not proto.softmax_tree, "softmax_tree (trees of classes) is not supported")
        return RegionLossOp(
            anchors,
            proto.num_class,
            has_softmax=bool(proto.softmax),
            matches_predictions=not proto.bias_match,
            rescores=bool(proto.rescore),
            threshold=proto.thresh,
            object_scale=proto.object_scale,
            noobject_scale=proto.noobject_scale,
            class_scale=proto.class_scale,
            coord_scale=proto.coord_scale,
        )

    def channels(self) -> int:
        """Return the number of channels of the map."""
        return int(self.settings.num * (5 + self.settings.num_class))
