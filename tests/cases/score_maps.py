from cases.case import Case, distinct, exactly, labels, normal, positive

MAPS = normal(2, 3, 4, 5)
IMAGE_LABELS = exactly([[[[0]], [[2]], [[-1]]], [[[1]], [[-1]], [[-1]]]])
# The order of several classes beside the background is random.
ONE_CLASS = exactly([[[[0]], [[2]]], [[[3]], [[-1]]]])

CASES = {
    "BiasChannel": [
        Case("images", "", {"x": MAPS, "labels": IMAGE_LABELS}, reshapes=()),
        Case(
            "pixels",
            "bias_channel_param { label_type: PIXEL bg_bias: 0.5 fg_bias: 3 background_label: 1"
            " ignore_label: 2 }",
            {"x": MAPS, "labels": labels(2, 1, 4, 5, below=3)},
        ),
    ],
    "AdaptiveBiasChannel": [
        Case(
            "suppressed",
            "adaptive_bias_channel_param { num_iter: 2 bg_portion: 0.6 fg_portion: 0.7 }",
            {"x": distinct(2, 4, 3, 5), "labels": ONE_CLASS},
            reshapes=(),
        ),
        Case(
            "others stay",
            "adaptive_bias_channel_param { suppress_others: false fg_portion: 1 }",
            {"x": distinct(2, 4, 3, 5), "labels": ONE_CLASS},
            reshapes=(),
        ),
    ],
    "UniqueLabel": [
        Case(
            "ignored and forced",
            "unique_label_param { max_labels: 5 ignore_label: 2 force_label: 7 }",
            {"labels": labels(3, 1, 2, 4, below=5)},
        ),
        Case(
            "too many",
            "unique_label_param { max_labels: 2 }",
            {"labels": labels(2, 9, below=7)},
        ),
    ],
    "SpatialProduct": [
        Case("images", "", {"x": MAPS, "s": normal(2, 1, 4, 5)}),
        Case("one channel", "", {"x": normal(3, 1, 5, 2), "s": normal(3, 1, 5, 2)}),
    ],
    "DomainTransform": [
        Case(
            "parts of images",
            "domain_transform_param { num_iter: 2 spatial_sigma: 5 range_sigma: 0.5 }",
            {
                "x": MAPS,
                "edges": positive(2, 1, 4, 5),
                "sizes": exactly([[[[4, 3]]], [[[2, 5]]]]),
            },
            reshapes=({"x": (2, 5, 4, 6), "edges": (2, 1, 4, 6)},),
        ),
        Case(
            "smallest weight",
            "domain_transform_param { num_iter: 1 spatial_sigma: 3 range_sigma: 2"
            " min_weight: 0.25 }",
            {
                "x": normal(1, 2, 3, 5),
                "edges": positive(1, 1, 3, 5),
                "sizes": exactly([[[[3, 5]]]]),
            },
            reshapes=(),
        ),
    ],
}
