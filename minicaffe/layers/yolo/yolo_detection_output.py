"""YoloDetectionOutput and Yolov3DetectionOutput."""

from __future__ import annotations

from typing import ClassVar

from minicaffe.layers.base import Arity, Blobs, Layer, P, Role
from minicaffe.layers.registry import register
from minicaffe.layers.yolo.yolo_loss import anchors_of
from minicaffe.ops.yolo.yolo_output import YoloOutput, Yolov3Output
from minicaffe.schema.minicaffe_pb2 import (
    YoloDetectionOutputParameter,
    Yolov3DetectionOutputParameter,
)

# Image, label, score, corners.
_ROW = 7


class YoloOutputLayer(Layer[P]):
    """A layer that finds detections in maps; its subclasses name the op."""

    bottoms: ClassVar[Arity] = (1, None)
    role: ClassVar[Role] = "output"
    reads_bottoms = False
    # Channels before the classes.
    box_channels = 5

    def output_op(self, n_maps: int) -> YoloOutput:
        """Return the op from the settings, or raise a NetError."""
        raise NotImplementedError

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        self.op = self.output_op(len(bottom))
        self.without_gradient = tuple(range(len(bottom)))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the maps, give the top one row an image, and plan."""
        n = bottom[0].shape[:1]
        for x, anchors in zip(bottom, self.op.anchors, strict=True):
            channels = len(anchors) * (self.box_channels + self.op.n_classes)
            self.require_shape(
                len(x.shape) == 4 and x.shape[1] == channels and x.shape[:1] == n,
                f'bottom "{x.name}" must be (N, {channels}, H, W), with N of "{bottom[0].name}", '
                f"it is {x.shape}",
            )
        top[0].reshape((1, 1, *n, _ROW))
        self.kernel = self.plan(self.op, *(blob.data for blob in (*bottom, *top)))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Find detections, reshape the top and overwrite it."""
        rows = self.kernel.detect([blob.data for blob in bottom])
        top[0].reshape((1, 1, rows, _ROW))
        self.kernel.forward(top[0].data)


@register("YoloDetectionOutput")
class YoloDetectionOutput(YoloOutputLayer[YoloDetectionOutputParameter]):
    """Find the detections of YOLO v2 in one or several maps, with non-maximum suppression.

    Shapes: x (N, num_box * (5 + num_classes), H, W)[, x (N, ..., H, W) and so on] -> y (1, 1, K, 7)

    Notes
    -----
    Rows are [image, class + 1, score, xmin, ymin, xmax, ymax], by image and descending score;
    corners are shares of the image and not cut to it. A box is a candidate of its best class if
    objectness * class is at least confidence_threshold; it is kept if its IoU with every better
    one of the image, of whatever class, is below nms_threshold. All maps have the same anchors,
    biases, in cells of the map. If nothing is found, there is one row an image, filled with -1.

    Differs from MobileNet-YOLO: each image of a batch has its own number and its own suppression;
    there all had number 0, and suppressed each other.
    """

    def output_op(self, n_maps: int) -> YoloOutput:
        """Return the op from the settings."""
        proto = self.settings
        anchors = anchors_of(self, proto.biases)
        self.require(
            len(anchors) == proto.num_box,
            f"num_box: {proto.num_box} boxes need {2 * proto.num_box} biases, there are "
            f"{len(proto.biases)}",
        )
        self.require(proto.coords == 4, f"coords: {proto.coords} must be 4: x, y, w, h")
        return YoloOutput(
            (anchors,) * n_maps,
            proto.num_classes,
            proto.confidence_threshold,
            proto.nms_threshold,
        )


@register("Yolov3DetectionOutput")
class Yolov3DetectionOutput(YoloOutputLayer[Yolov3DetectionOutputParameter]):
    """Find the detections of YOLO v3 in the maps of all scales, with non-maximum suppression.

    Shapes: x (N, num_box * (5 + num_classes), H, W)[, x (N, ..., H, W) and so on] -> y (1, 1, K, 7)

    Notes
    -----
    As YoloDetectionOutput, but each class of a box is a candidate if objectness * class is above
    confidence_threshold. biases are the widths and heights of all anchors in pixels; mask names
    num_box of them for each map, anchors_scale gives the pixels of a cell for each. gaussian_box
    reads the maps of GaussianYolov3, with 9 + num_classes channels a box, and multiplies the score
    by 1 - the mean of the four deviations.

    Differs from MobileNet-YOLO: each image of a batch has its own number and its own suppression;
    there all had number 0, and suppressed each other.
    """

    def output_op(self, n_maps: int) -> Yolov3Output:
        """Return the op from the settings."""
        proto, n = self.settings, self.settings.num_box
        masks = [list(proto.mask[k : k + n]) for k in range(0, len(proto.mask), n or 1)]
        self.require(
            n > 0 and len(proto.mask) == n * n_maps,
            f"{n_maps} bottoms with num_box: {n} boxes need {n * n_maps} masks, there are "
            f"{len(proto.mask)}",
        )
        self.require(
            len(proto.anchors_scale) == n_maps,
            f"anchors_scale must be given once for each of {n_maps} bottoms, there are "
            f"{len(proto.anchors_scale)}",
        )
        self.box_channels = 9 if proto.gaussian_box else 5
        anchors = [anchors_of(self, proto.biases, scale) for scale in proto.anchors_scale]
        self.require(
            max(proto.mask) < len(anchors[0]),
            f"mask: {max(proto.mask)} is not an anchor; biases gives {len(anchors[0])}, from 0",
        )
        return Yolov3Output(
            tuple(tuple(a[k] for k in mask) for a, mask in zip(anchors, masks, strict=True)),
            proto.num_classes,
            proto.confidence_threshold,
            proto.nms_threshold,
            proto.gaussian_box,
        )
