"""Detectors of the SSD family; loc, conf and boxes are in the units of their layers."""

import numpy as np

from cases.case import Case, Values, exactly, normal

VARIANCES = (0.1, 0.13, 0.2, 0.23)
TRUTH = exactly(
    [
        [
            [
                [0, 1, 0, 0.11, 0.12, 0.52, 0.47, 0],
                [0, 2, 0, 0.43, 0.34, 0.91, 0.83, 0],
                [0, 2, 1, 0.05, 0.55, 0.32, 0.93, 1],
                [-1, -1, -1, -1, -1, -1, -1, -1],
                [2, 1, 0, 0.27, 0.21, 0.64, 0.76, 0],
                [2, 3, 0, 0.55, 0.09, 0.97, 0.41, 0],
            ]
        ]
    ]
)
ONE_IMAGE = {"loc": (1, 52), "conf": (1, 52)}


def boxes(rng, n):
    """Return n boxes, some of which reach beyond the image."""
    center, half = rng.uniform(0.1, 0.9, (n, 2)), rng.uniform(0.08, 0.3, (n, 2))
    return np.concatenate([center - half, center + half], 1)


def priors(n):
    """Return the prior boxes of a seed of their own, and their variances."""
    values = np.stack([boxes(np.random.default_rng(n), n), np.tile(VARIANCES, (n, 1))])
    return exactly(values.reshape(1, 2, n * 4))


def codes(*shape):
    return Values(shape, lambda rng, s: 0.5 * rng.standard_normal(s))


def probabilities(images, n, classes):
    def draw(rng, shape):
        e = np.exp(1.5 * rng.standard_normal((shape[0], n, classes)))
        return (e / e.sum(2, keepdims=True)).reshape(shape)

    return Values((images, n * classes), draw)


def bottoms(images, n, classes, columns=1):
    return {
        "loc": codes(images, n * columns * 4),
        "conf": normal(images, n * classes),
        "prior": priors(n),
        "truth": TRUTH,
    }


def output(images, n, classes, columns=1):
    return {
        "loc": codes(images, n * columns * 4),
        "conf": probabilities(images, n, classes),
        "prior": priors(n),
    }


# The boxes of TRUTH as YOLO's lists; the values behind a row of zeros do not count.
LISTS = exactly(
    [
        [
            [
                [0, 0.315, 0.295, 0.41, 0.35],
                [1, 0.67, 0.585, 0.48, 0.49],
                [1, 0.185, 0.74, 0.27, 0.38],
            ]
        ],
        [[[0, 0, 0, 0, 0], [2, 0.5, 0.5, 0.4, 0.4], [0, 0, 0, 0, 0]]],
        [[[0, 0.455, 0.485, 0.37, 0.55], [2, 0.76, 0.25, 0.42, 0.32], [0, 0, 0, 0, 0]]],
    ]
)


def detections():
    rng, truth = np.random.default_rng(3), np.asarray(TRUTH.draw(None, None))[0, 0]
    rows = [
        [row[0], row[1], rng.uniform(), *(row[3:7] + 0.05 * rng.standard_normal(4))]
        for row in truth[[0, 0, 0, 1, 1, 2, 2, 4, 5]]
    ]
    rows += [[1, 2, rng.uniform(), *box] for box in boxes(rng, 3)]
    rows += [[0, -1, *[-1] * 5]]
    return exactly([[rows]])


CASES = {
    "PriorBox": [
        Case(
            "ssd",
            "prior_box_param { min_size: 10.9 max_size: 21.5 aspect_ratio: 2 aspect_ratio: 3 "
            "aspect_ratio: 0.5 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 "
            "clip: true }",
            {"x": normal(2, 3, 5, 7), "image": normal(1, 3, 60, 90)},
        ),
        Case(
            "two sizes",
            "prior_box_param { min_size: 12 min_size: 20 aspect_ratio: 1.5 flip: false "
            "img_h: 50 img_w: 70 step_h: 11 step_w: 13 offset: 0.3 }",
            {"x": normal(1, 2, 3, 5), "image": normal(1, 1, 9, 9)},
            reshapes=({"x": (1, 2, 2, 6)}, {"x": (1, 2, 3, 1)}),
        ),
    ],
    "DetectionOutput": [
        Case(
            "ssd",
            "detection_output_param { num_classes: 4 code_type: CENTER_SIZE keep_top_k: 11 "
            "nms_param { nms_threshold: 0.45 top_k: 9 } confidence_threshold: 0.1 }",
            output(3, 13, 4),
            reshapes=(ONE_IMAGE,),
        ),
        Case(
            "corners of each class",
            "detection_output_param { num_classes: 3 share_location: false "
            "background_label_id: 1 nms_param { nms_threshold: 0.7 eta: 0.9 } "
            "variance_encoded_in_target: true }",
            output(2, 11, 3, columns=3),
            reshapes=({"loc": (3, 132), "conf": (3, 33)},),
        ),
        Case(
            "no background",
            "detection_output_param { num_classes: 3 background_label_id: -1 "
            "code_type: CORNER_SIZE confidence_threshold: 0.3 nms_param { top_k: 5 } }",
            output(2, 9, 3),
            reshapes=(),
        ),
        Case(
            "nothing found",
            "detection_output_param { num_classes: 3 confidence_threshold: 1 }",
            output(3, 7, 3),
            reshapes=(),
        ),
        Case(
            "refined",
            "detection_output_param { num_classes: 3 code_type: CENTER_SIZE keep_top_k: 9 "
            "objectness_score: 0.4 confidence_threshold: 0.05 }",
            output(2, 13, 3) | {"arm_conf": probabilities(2, 13, 2), "arm_loc": codes(2, 52)},
            reshapes=(),
        ),
    ],
    "DetectionEvaluate": [
        Case(
            "difficult boxes count",
            "detection_evaluate_param { num_classes: 4 overlap_threshold: 0.4 }",
            {"found": detections(), "truth": TRUTH},
            reshapes=(),
        ),
        Case(
            "difficult boxes do not count",
            "detection_evaluate_param { num_classes: 4 evaluate_difficult_gt: false }",
            {"found": detections(), "truth": TRUTH},
            reshapes=(),
        ),
        Case(
            "lists of yolo",
            "detection_evaluate_param { num_classes: 4 overlap_threshold: 0.4 }",
            {"found": detections(), "truth": LISTS},
            reshapes=(),
        ),
    ],
    "MultiBoxLoss": [
        Case(
            "ssd",
            "multibox_loss_param { num_classes: 4 code_type: CENTER_SIZE overlap_threshold: 0.35 "
            "neg_pos_ratio: 1.5 neg_overlap: 0.3 loc_weight: 1.3 }",
            bottoms(3, 13, 4),
            reshapes=(ONE_IMAGE,),
        ),
        Case(
            "corners",
            "loss_param { normalization: FULL } multibox_loss_param { num_classes: 4 "
            "loc_loss_type: L2 match_type: BIPARTITE mining_type: NONE use_difficult_gt: false "
            "ignore_cross_boundary_bbox: true }",
            bottoms(3, 13, 4),
            reshapes=(ONE_IMAGE,),
        ),
        Case(
            "hard examples",
            "loss_param { normalization: BATCH_SIZE } multibox_loss_param { num_classes: 4 "
            "code_type: CORNER_SIZE mining_type: HARD_EXAMPLE sample_size: 5 "
            "overlap_threshold: 0.3 nms_param { nms_threshold: 0.6 top_k: 8 } }",
            bottoms(3, 13, 4),
            reshapes=(),
        ),
        Case(
            "suppressed priors",
            "loss_param { normalization: NONE } multibox_loss_param { num_classes: 4 "
            "conf_loss_type: LOGISTIC nms_param { nms_threshold: 0.1 } use_prior_for_nms: true "
            "encode_variance_in_target: true bp_inside: true map_object_to_agnostic: true }",
            bottoms(3, 13, 4),
            reshapes=(),
        ),
        Case(
            "codes of each class",
            "multibox_loss_param { num_classes: 4 share_location: false mining_type: NONE "
            "conf_loss_type: LOGISTIC code_type: CENTER_SIZE overlap_threshold: 0.3 }",
            bottoms(3, 11, 4, columns=4),
            reshapes=(),
        ),
        Case(
            "matched by decoded boxes",
            "multibox_loss_param { num_classes: 4 share_location: false do_neg_mining: false "
            "use_prior_for_matching: false bp_inside: true overlap_threshold: 0.3 }",
            bottoms(3, 11, 4, columns=4),
            reshapes=(),
        ),
        Case(
            "refined",
            "multibox_loss_param { num_classes: 4 code_type: CENTER_SIZE objectness_score: 0.3 "
            "overlap_threshold: 0.3 neg_pos_ratio: 2 }",
            bottoms(3, 13, 4) | {"arm_conf": probabilities(3, 13, 2), "arm_loc": codes(3, 52)},
            reshapes=(),
        ),
        Case(
            "locations only",
            "propagate_down: true propagate_down: false propagate_down: false "
            "propagate_down: false multibox_loss_param { num_classes: 2 code_type: CENTER_SIZE }",
            bottoms(3, 13, 2),
            gradients=("loc",),
            reshapes=(),
        ),
    ],
}
