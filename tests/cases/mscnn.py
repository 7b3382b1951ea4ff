"""The gradient of DetectionLoss belongs to its first value only: tests/layers/test_mscnn.py."""

import numpy as np

from cases.case import Case, Values, exactly, normal

NORMS = (
    "bbox_reg_param { bbox_mean: 0.1 bbox_mean: 0 bbox_mean: -0.1 bbox_mean: 0.05 "
    "bbox_std: 0.5 bbox_std: 0.4 bbox_std: 0.3 bbox_std: 0.6 %s }"
)
FIELD = "field_h: 30 field_w: 25 downsample_rate: 8"


def label_map(n, rows, columns, classes):
    """Classes, boxes near the cells, and overlaps, half of them background."""

    def draw(rng, shape):
        labels, size = np.zeros(shape), (shape[0], *shape[2:])
        labels[:, 0] = rng.integers(0, classes, size) * rng.integers(0, 2, size)
        row, column = np.indices(size[1:])
        labels[:, 1] = (column + 0.5) * 8 + rng.uniform(-8, 8, size)
        labels[:, 2] = (row + 0.5) * 8 + rng.uniform(-8, 8, size)
        labels[:, 3:5] = rng.uniform(15, 50, (size[0], 2, *size[1:]))
        labels[:, 5] = rng.uniform(0, 1, size)
        return labels

    return Values((n, 6, rows, columns), draw)


def corners(rng, n):
    """Corners of boxes, whose sides are at least 5."""
    found = rng.uniform(0, 60, (n, 2, 2))
    found.sort(axis=1)
    found[:, 1] += 5
    return found.reshape(n, 4)


def regions(n, images=2):
    def draw(rng, shape):
        return np.column_stack([rng.integers(0, images, shape[0]), corners(rng, shape[0])])

    return Values((n, 5), draw)


def matches(n, classes):
    """True boxes of regions: class, corners, overlap."""

    def draw(rng, shape):
        n = shape[0]
        label, overlap = rng.integers(0, classes, n), rng.uniform(0.5, 1, n)
        return np.column_stack([label, corners(rng, n), overlap])

    return Values((n, 6), draw)


def small(*shape):
    return Values(shape, lambda rng, s: 0.3 * rng.standard_normal(s))


def loss(name, settings, classes=3, norms="", **options):
    bottoms = {"x": normal(2, classes + 4, 3, 5), "t": label_map(2, 3, 5, classes)}
    settings = f"detection_loss_param {{ cls_num: {classes} {FIELD} {settings} }} {norms}"
    return Case(
        name, settings, bottoms, ("loss",), gradients=(), reshapes=(), in_place=False, **options
    )


def boxes(name, settings, bottoms, tops=("y",), **options):
    return Case(name, settings, bottoms, tops, reshapes=(), **options)


# Image, corners, class, ignored: the last one overlaps no other.
TRUTHS = exactly(
    [
        [0, 5.5, 6.5, 40.5, 30.5, 2, 0],
        [1, 10.5, 2.5, 30.5, 50.5, 1, 0],
        [0, 50.5, 40.5, 62.5, 64.5, 1, 1],
    ]
)
# Near the truths, apart, and near the ignored one.
ROIS = exactly(
    [
        [0, 7, 8, 42, 28],
        [1, 12, 1, 33, 44],
        [1, 30, 30, 60, 60],
        [0, 20, 20, 60, 40],
        [0, 51, 41, 63, 64],
        [1, 8, 20, 29, 61],
    ]
)
TARGETS = ("rois", "labels", "targets", "inside", "outside", "matches")

CASES = {
    "BoxOutput": [
        boxes(
            "two maps",
            "box_output_param { fg_thr: 0.2 min_size: 6 field_h: 30 field_h: 50 field_w: 25 "
            f"field_w: 40 downsample_rate: 8 downsample_rate: 16 }} {NORMS % ''}",
            {"x": normal(2, 7, 4, 5), "z": normal(2, 7, 2, 3)},
            ("boxes", "scored"),
        ),
        boxes(
            "limits, smaller box",
            f"box_output_param {{ fg_thr: -1 {FIELD} nms_type: 'IOMU' max_nms_num: 14 "
            "max_post_nms_num: 4 iou_thr: 0.6 }",
            {"x": normal(2, 6, 4, 5)},
        ),
        boxes(
            "better box",
            f"box_output_param {{ {FIELD} nms_type: 'IOFU' field_xyr: 4 field_whr: 1.5 }}",
            {"x": normal(3, 8, 3, 4)},
        ),
        boxes(
            "nothing",
            f"box_output_param {{ fg_thr: 50 {FIELD} }}",
            {"x": normal(2, 6, 4, 5)},
            ("boxes", "scored"),
        ),
    ],
    "DetectionLoss": [
        loss("all", 'sample_mode: "all"'),
        loss("bootstrap", 'sample_mode: "bootstrap" bg_multiple: 1 lambda: 0.5'),
        loss(
            "weighted",
            'sample_mode: "all" iou_weighted: true pos_neg_weighted: true bg_multiple: 2',
            norms=NORMS % "",
        ),
        loss("squares", 'sample_mode: "all" bb_smooth: false field_xyr: 1 field_whr: 4'),
        loss(
            "ignored",
            'sample_mode: "all" bg_threshold: 0.8',
            norms="loss_param { ignore_label: 1 }",
        ),
    ],
    "DetectionAccuracy": [
        boxes(
            "best",
            f"detection_accuracy_param {{ cls_num: 3 {FIELD} }}",
            {"x": normal(2, 7, 3, 5), "t": label_map(2, 3, 5, 3)},
            ("accuracy", "iou"),
        ),
        boxes(
            "two best",
            f"detection_accuracy_param {{ cls_num: 4 {FIELD} top_k: 2 bg_threshold: 0.7 }} "
            "loss_param { ignore_label: 2 }",
            {"x": normal(2, 8, 3, 5), "t": label_map(2, 3, 5, 4)},
        ),
    ],
    "DecodeBBox": [
        boxes("test", NORMS % "", {"c": small(7, 8), "r": regions(7)}, phase="TEST"),
        boxes("train", "", {"c": small(7, 8), "r": regions(7)}),
        boxes(
            "matches",
            "decode_bbox_param { gt_iou_thr: 0.8 }",
            {"c": small(7, 8), "r": regions(7), "m": matches(7, 3)},
        ),
    ],
    "BboxAccuracy": [
        boxes(
            "classes",
            NORMS % "",
            {"c": small(9, 12), "r": regions(9), "m": matches(9, 3)},
            ("after", "before"),
        ),
        boxes(
            "one class",
            NORMS % "cls_aware: false",
            {"c": small(9, 8), "r": regions(9), "m": matches(9, 5)},
        ),
    ],
    "ProposalTarget": [
        boxes(
            "all",
            "proposal_target_param { cls_num: 3 batch_size: -1 bg_thr_lw: 0 iou_weighted: true }",
            {"r": ROIS, "t": TRUTHS},
            (*TARGETS, "weights"),
        ),
        boxes(
            "filled",
            "proposal_target_param { cls_num: 3 batch_size: 20 fg_fraction: 0.5 bg_thr_lw: 0.2 } "
            f"{NORMS % 'cls_aware: false'}",
            {"r": ROIS, "t": TRUTHS},
            (*TARGETS, "weights"),
        ),
    ],
}
