"""The gradients of these losses are not derivatives: tests/layers/test_yolo.py."""

import numpy as np

from cases.case import Case, Values, exactly, normal, positive

ANCHORS = "biases: 0.9 biases: 1.1 biases: 2.4 biases: 1.7"
PIXELS = "biases: 9 biases: 12 biases: 20 biases: 16 biases: 40 biases: 33 biases: 55 biases: 60"


def truths(n, most, classes, seed=0):
    """Rows of class, x, y, w, h: different numbers of truths an image; some share a cell."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, 1, most + 1, 5))
    for k in range(n):
        count = most - k % 2
        rows[k, 0, :count, 0] = rng.integers(0, classes, count)
        rows[k, 0, :count, 1:3] = rng.uniform(0.02, 0.98, (count, 2))
        rows[k, 0, :count, 3:] = rng.uniform(0.1, 0.7, (count, 2))
        rows[k, 0, 1, 1:3] = rows[k, 0, 0, 1:3]
    return exactly(rows)


# Rows of SSD's AnnotatedData for two images: image, label, instance, corners, difficult.
ANNOTATIONS = exactly(
    [
        [
            [
                [0, 2, 0, 0.1, 0.2, 0.5, 0.45, 0],
                [1, 1, 0, 0.35, 0.1, 0.9, 0.8, 1],
                [-1] * 8,
                [1, 3, 1, 0.55, 0.5, 0.7, 0.95, 0],
            ]
        ]
    ]
)


def region(name, settings, **bottoms):
    found = {"x": normal(3, 16, 4, 5), "t": truths(3, 4, 3), **bottoms}
    settings = f"num: 2 num_class: 3 {ANCHORS} {settings}"
    settings = f"region_loss_param {{ {settings} }}"
    return Case(name, settings, found, ("loss",), gradients=(), reshapes=(), in_place=False)


def yolov3(name, settings, channels=8, seed=0):
    bottoms = {"x": normal(2, 2 * channels, 5, 4), "t": truths(2, 5, 3, seed)}
    settings = f"num: 2 mask: 1 mask: 2 num_class: 3 anchors_scale: 16 {PIXELS} {settings}"
    settings = f"yolov3_param {{ {settings} }}"
    return Case(name, settings, bottoms, ("loss",), gradients=(), reshapes=(), in_place=False)


def output(name, settings, **bottoms):
    settings = f"yolo_detection_output_param {{ num_classes: 3 num_box: 2 {ANCHORS} {settings} }}"
    return Case(name, settings, bottoms, reshapes=())


def output3(name, settings, **bottoms):
    masks = "mask: 2 mask: 3 mask: 0 mask: 1 anchors_scale: 16 anchors_scale: 8"
    settings = f"num_classes: 3 num_box: 2 {PIXELS} {masks} {settings}"
    settings = f"yolov3_detection_output_param {{ {settings} }}"
    return Case(name, settings, bottoms, reshapes=())


def evaluation(name, settings, **bottoms):
    settings = f"eval_detection_param {{ num_class: 3 num_object: 2 {ANCHORS} {settings} }}"
    return Case(name, settings, bottoms, reshapes=())


MASK = Values((2, 3, 4, 5), lambda rng, s: (rng.uniform(size=s) < 0.4).astype(float))
COUNTS = exactly([[4, 6, 0], [2, 0, 9]])

CASES = {
    "RegionLoss": [
        region("rescore", "thresh: 0.3"),
        region("scales", "rescore: 0 object_scale: 5 noobject_scale: 2 class_scale: 3"),
        region("best predictions", "bias_match: 0 coord_scale: 1"),
        region("sigmoid classes", "softmax: 0"),
        region("annotations", "", x=normal(2, 16, 4, 5), t=ANNOTATIONS),
        region("no truth", "", x=normal(2, 16, 4, 5), t=exactly(np.zeros((2, 3, 5)))),
    ],
    "Yolov3": [
        yolov3("squares", "thresh: 0.4"),
        yolov3("only the best anchor", "iou_thresh: 1 label_smooth_eps: 0 class_scale: 2"),
        yolov3("focal", "use_focal_loss: true iou_thresh: 0.3"),
        yolov3("slope", "use_logic_gradient: true object_scale: 5 coord_scale: 1"),
        yolov3("iou", "iou_loss: IOU iou_thresh: 0.2"),
        yolov3("giou", "iou_loss: GIOU iou_thresh: 0.2 accumulate: false"),
        yolov3("diou", "iou_loss: DIOU iou_thresh: 0.2 iou_normalizer: 2 max_delta: 0.05"),
        yolov3("ciou", "iou_loss: CIOU iou_thresh: 0.2", seed=1),
    ],
    "GaussianYolov3": [
        yolov3("accumulated", "iou_thresh: 0.3", channels=12),
        yolov3("focal", "use_focal_loss: true accumulate: false max_delta: 1", channels=12),
    ],
    "YoloSeg": [
        Case(
            "plain",
            "yolo_seg_param { num_class: 3 }",
            {"x": normal(2, 3, 4, 5), "t": MASK},
            ("loss",),
            gradients=(),
            in_place=False,
        ),
        Case(
            "counts",
            "yolo_seg_param { num_class: 3 object_scale: 0.5 }",
            {"x": normal(2, 3, 4, 5), "t": MASK, "k": COUNTS},
            ("loss",),
            gradients=(),
            reshapes=(),
            in_place=False,
        ),
    ],
    "SegmentationEvaluate": [
        Case(
            "half",
            "segmentation_evaluate_param { num_classes: 3 }",
            {"x": positive(2, 3, 4, 5), "t": MASK},
        ),
        Case(
            "no pixels",
            "segmentation_evaluate_param { num_classes: 3 threshold: 3 }",
            {"x": positive(2, 3, 4, 5), "t": MASK},
        ),
    ],
    "YoloDetectionOutput": [
        output(
            "two maps",
            "confidence_threshold: 0.2",
            x=normal(2, 16, 4, 5),
            z=normal(2, 16, 2, 3),
        ),
        output("one image", "confidence_threshold: 0.1 nms_threshold: 0.2", x=normal(1, 16, 3, 5)),
        output("nothing", "confidence_threshold: 0.99", x=normal(3, 16, 3, 2)),
    ],
    "Yolov3DetectionOutput": [
        output3(
            "two maps",
            "confidence_threshold: 0.5",
            x=normal(2, 16, 2, 3),
            z=normal(2, 16, 4, 5),
        ),
        output3(
            "Gaussian",
            "confidence_threshold: 0.2 nms_threshold: 0.3 gaussian_box: true",
            x=normal(2, 24, 2, 3),
            z=normal(2, 24, 4, 5),
        ),
        output3("nothing", "confidence_threshold: 1", x=normal(3, 16, 2, 3), z=normal(3, 16, 4, 5)),
    ],
    "EvalDetection": [
        evaluation("product", "threshold: 0.2", x=normal(2, 16, 3, 5), t=ANNOTATIONS),
        evaluation(
            "suppression",
            "threshold: 0.1 nms: 0.3 score_type: OBJ",
            x=normal(2, 16, 3, 5),
            t=ANNOTATIONS,
            data=normal(2, 1, 2, 3),
        ),
        evaluation(
            "probability",
            "threshold: 0.1 nms: 0.4 score_type: PROB",
            x=normal(3, 16, 3, 5),
            t=truths(3, 4, 3),
        ),
    ],
}
