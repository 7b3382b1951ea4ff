import numpy as np

from cases.case import Case, Values, distinct, exactly, labels, normal


def regions(n, images, height, width):
    """Regions in images of a size in pixels; some reach over the border."""

    def draw(rng, shape):
        rois = np.zeros((shape[0], 5))
        rois[:, 0] = rng.integers(0, images, shape[0])
        corners = rng.uniform(-0.1, 1.1, (shape[0], 2, 2))
        corners.sort(axis=1)
        rois[:, 1:] = (corners * [width, height]).reshape(-1, 4)
        return rois.reshape(shape)

    return Values((n, 5), draw)


def pooling(settings):
    return f"roi_pooling_param {{ {settings} }}"


def loss(name, settings, bottoms, tops=("loss",), **options):
    silent = tops[1:]
    return Case(name, settings, bottoms, tops, tops_without_gradient=silent, **options)


# Differences that are not near 1, where the slope changes.
PAIR = {"x": exactly(np.linspace(-3.3, 2.2, 15).reshape(5, 3)), "z": exactly(np.zeros((5, 3)))}
MAPS = {"x": normal(5, 3, 2), "z": normal(5, 3, 2)}
SCORES = {"x": normal(7, 3), "t": labels(7, below=3)}
FOUR = {**MAPS, "w": normal(5, 3, 2), "v": normal(5, 3, 2)}
FOUND = {
    "rois": Values((9, 5), lambda rng, s: rng.integers(0, 3, s).astype(float)),
    "losses": distinct(9, 1),
    "labels": labels(9, 1, below=4),
    "weights": normal(9, 6),
}


def shifts(*shape):
    """Small deltas of boxes."""
    return Values(shape, lambda rng, s: 0.3 * rng.standard_normal(s))


MALFORMED = exactly([[0, 30, 25, 12, 10], [1, 50, 50, 90, 90], [0, -40, -30, -9, -9]])
RESIZED = ({"rois": (9, 5)}, {"rois": (2, 5)}, {"x": (3, 3, 9, 5)})

CASES = {
    "ROIPooling": [
        Case(
            "bins",
            pooling("pooled_h: 3 pooled_w: 2 spatial_scale: 0.25"),
            {"x": distinct(2, 3, 7, 9), "rois": regions(5, 2, 28, 36)},
            reshapes=RESIZED,
        ),
        Case(
            "malformed and outside",
            pooling("pooled_h: 2 pooled_w: 3 spatial_scale: 0.25"),
            {"x": distinct(2, 3, 7, 9), "rois": MALFORMED},
            reshapes=(),
        ),
        Case(
            "pad_ratio of MS-CNN",
            pooling("pooled_h: 2 pooled_w: 5 spatial_scale: 0.5 pad_ratio: 0.25"),
            {"x": distinct(2, 3, 6, 5), "rois": regions(4, 2, 12, 10)},
            reshapes=RESIZED,
        ),
        Case(
            "pooled_size of Intel",
            pooling("pooled_size: 3"),
            {"x": distinct(1, 2, 6, 7), "rois": regions(3, 1, 6, 7)},
            reshapes=RESIZED,
        ),
    ],
    "PSROIPooling": [
        Case(
            "groups",
            "psroi_pooling_param { spatial_scale: 0.25 output_dim: 2 group_size: 3 }",
            {"x": normal(2, 18, 6, 7), "rois": regions(5, 2, 24, 28)},
            reshapes=({"rois": (9, 5)}, {"x": (3, 18, 9, 5)}),
        ),
        Case(
            "malformed and outside",
            "psroi_pooling_param { spatial_scale: 0.25 output_dim: 3 group_size: 1 }",
            {"x": normal(2, 3, 7, 9), "rois": MALFORMED},
            reshapes=(),
        ),
    ],
    "ROIAlign": [
        Case(
            "cells",
            pooling("pooled_h: 3 pooled_w: 2 spatial_scale: 0.25"),
            {"x": normal(2, 3, 6, 7), "rois": regions(5, 2, 24, 28)},
            reshapes=RESIZED,
        ),
        Case(
            "pad_ratio",
            pooling("pooled_h: 1 pooled_w: 5 spatial_scale: 0.5 pad_ratio: 0.5"),
            {"x": normal(2, 3, 6, 5), "rois": regions(3, 2, 12, 10)},
            reshapes=RESIZED,
        ),
    ],
    # The gradient of the regions is not a derivative: test_regions.py
    "ROIWarping": [
        Case(
            "bins",
            "roi_warping_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.25 }",
            {"x": normal(2, 3, 6, 7), "rois": regions(5, 2, 24, 28)},
            gradients=("x",),
            reshapes=RESIZED,
        ),
        Case(
            "malformed and outside",
            "roi_warping_param { pooled_h: 2 pooled_w: 5 spatial_scale: 0.25 }",
            {"x": normal(2, 3, 6, 7), "rois": MALFORMED},
            gradients=("x",),
            reshapes=(),
        ),
    ],
    "MaskPooling": [
        Case("masks", "", {"x": normal(3, 2, 4, 5), "m": normal(3, 1, 4, 5)}),
        Case("one", "", {"x": normal(1, 5, 2, 3), "m": normal(1, 1, 2, 3)}),
    ],
    "MaskResize": [
        Case(
            "smaller",
            "mask_resize_param { output_height: 3 output_width: 5 }",
            {"x": normal(2, 3, 7, 6)},
            reshapes=({"x": (3, 3, 9, 5)},),
        ),
        Case(
            "larger",
            "mask_resize_param { output_height: 7 output_width: 9 }",
            {"x": normal(2, 1, 3, 4)},
            reshapes=({"x": (1, 2, 5, 9)},),
        ),
    ],
    "SmoothL1Loss": [
        loss("SSD", "", PAIR, reshapes=()),
        loss("sigma", "loss_weight: 2 smooth_l1_loss_param { sigma: 3 }", MAPS),
        loss("weights", "loss_weight: 1", FOUR),
        loss("weights and sigma", "loss_weight: 1 smooth_l1_loss_param { sigma: 0.5 }", FOUR),
    ],
    "SmoothL1LossOHEM": [
        loss("two", "loss_weight: 1", MAPS),
        loss(
            "weights",
            "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 128 }",
            {**MAPS, "w": labels(5, 3, 2, below=2)},
            tops=("loss", "losses"),
        ),
        loss("batch size", "loss_param { normalization: BATCH_SIZE }", MAPS),
        loss("none", "loss_param { normalization: NONE }", MAPS),
    ],
    "SoftmaxWithLossOHEM": [
        loss("rows", "", SCORES),
        loss(
            "all tops",
            "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 6 ignore_label: 1 }",
            SCORES,
            tops=("loss", "p", "losses"),
        ),
        loss(
            "pixels",
            "loss_param { ignore_label: 2 }",
            {"x": normal(2, 5, 3, 4), "t": labels(2, 1, 3, 4, below=5)},
            tops=("loss", "p"),
        ),
        loss(
            "full",
            "softmax_param { axis: 2 } loss_param { normalization: FULL ignore_label: 0 }",
            {"x": normal(3, 2, 5), "t": labels(3, 2, below=5)},
        ),
        loss("batch size", "loss_param { normalize: false }", SCORES),
    ],
    "Proposal": [
        Case(
            "anchors",
            "proposal_param { ratio: 0.5 ratio: 2 scale: 1 scale: 2 scale: 3 feat_stride: 8 "
            "base_size: 8 min_size: 9 pre_nms_topn: 90 post_nms_topn: 20 nms_thresh: 0.5 }",
            {
                "s": distinct(1, 12, 5, 4),
                "d": shifts(1, 24, 5, 4),
                "i": exactly([[40, 30, 1, 1.5]]),
            },
            tops=("rois", "scores"),
            reshapes=({"s": (1, 12, 3, 4), "d": (1, 24, 3, 4)},),
        ),
        Case(
            "one scale",
            "proposal_param { ratio: 1 scale: 4 post_nms_topn: 7 }",
            {"s": distinct(1, 2, 5, 3), "d": shifts(1, 4, 5, 3), "i": exactly([[70, 50, 0.5]])},
            tops=("rois",),
            reshapes=({"s": (1, 2, 3, 4), "d": (1, 4, 3, 4)},),
        ),
    ],
    "BoxAnnotatorOHEM": [
        Case(
            "some",
            "box_annotator_ohem_param { roi_per_img: 2 }",
            FOUND,
            tops=("top_labels", "top_weights"),
        ),
        Case(
            "pixels",
            "box_annotator_ohem_param { roi_per_img: 3 ignore_label: 255 }",
            {
                "rois": Values((3, 5, 2), lambda rng, s: rng.integers(0, 2, s).astype(float)),
                "losses": distinct(3, 1, 2),
                "labels": labels(3, 1, 2, below=4),
                "weights": normal(3, 6, 2),
            },
            tops=("top_labels", "top_weights"),
        ),
    ],
}
