"""EvalDetection."""

from __future__ import annotations

from typing import cast

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.yolo.yolo_loss import anchors_of, require_predictions, require_truths
from minicaffe.ops.yolo.eval_detection import EvalDetection as EvalDetectionOp
from minicaffe.ops.yolo.eval_detection import ScoreKind
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import EvalDetectionParameter


@register("EvalDetection")
class EvalDetection(Layer[EvalDetectionParameter]):
    """Compare the detections of YOLO v2 with the true boxes, for a mean average precision.

    Shapes: x (N, num_object * (5 + num_class), H, W), labels (N, G, 5)[, data (...)]
    -> y (N, num_class + 4 * num_object * H * W)

    Notes
    -----
    x and labels are those of RegionLoss; a third bottom, as Intel's nets have, is not used. A row
    of y has the number of true boxes of each class; then four values a detection: class, score, and
    1 0 if it hits a true box with an IoU of at least threshold that no better one has hit, 0 1
    otherwise; the rest is 0. score_type chooses the score: OBJ the objectness, PROB the probability
    of the best class, MULTIPLY their product. nms drops those that overlap a better one.

    Differs from Intel's Caffe: without nms all detections are kept; there none was.
    """

    bottoms = (2, 3)
    without_gradient = (0, 1, 2)
    role = "output"
    reads_bottoms = False

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it needs labels."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        proto = self.settings
        anchors = anchors_of(self, proto.biases)
        self.require(
            len(anchors) == proto.num_object,
            f"num_object: {proto.num_object} boxes need {2 * proto.num_object} biases, there are "
            f"{len(proto.biases)}",
        )
        kind = EvalDetectionParameter.ScoreType.Name(proto.score_type).lower()
        self.op = EvalDetectionOp(
            anchors,
            proto.num_class,
            cast(ScoreKind, kind),
            proto.threshold,
            proto.nms if proto.nms >= 0 else None,
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes and plan."""
        x, labels = bottom[:2]
        n_anchors, n_classes = len(self.op.anchors), self.op.n_classes
        require_predictions(self, x, n_anchors * (5 + n_classes))
        require_truths(self, x, labels)
        n, _, rows, columns = x.shape
        top[0].reshape((n, n_classes + 4 * n_anchors * rows * columns))
        self.kernel = self.plan(self.op, x.data, labels.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)
