import numpy as np

from cases.case import Case, Values, normal, positive


def batch_norm(name, settings, values, phase="TRAIN"):
    return Case(
        name,
        f"batch_norm_param {{ {settings} }}",
        {"x": values},
        phase=phase,
        params=(normal(), positive(), positive()),
        params_without_gradient=(0, 1, 2),
    )


def mvn(name, settings, values):
    return Case(name, f"mvn_param {{ {settings} }}", {"x": values})


def batch_norm_of_forks(name, settings, values, phase="TRAIN"):
    return Case(
        name,
        f"batch_norm_param {{ {settings} }}",
        {"x": values},
        phase=phase,
        params=(normal(), positive(), positive(), normal(), normal()),
        params_without_gradient=(0, 1, 2),
    )


def bn(name, settings, values, phase="TRAIN", frozen=(), **options):
    """PSPNet's and happynear's layer."""
    return Case(
        name,
        f"bn_param {{ {settings} }}",
        {"x": values},
        phase=phase,
        params=(normal(), normal(), normal(), positive()),
        params_without_gradient=(*frozen, 2, 3),
        **options,
    )


def segnets_bn(name, settings, values, phase="TRAIN", **options):
    return Case(name, f"bn_param {{ {settings} }}", {"x": values}, phase=phase, **options)


# SSD's gradient of x is exact only where all factors are equal.
EQUAL = Values((), lambda rng, s: np.full(s, 1.75))

CASES = {
    "BatchNorm": [
        batch_norm("images", "", normal(3, 5, 4, 7)),
        batch_norm("vectors", "eps: 0.1", normal(7, 5)),
        batch_norm("one channel", "", normal(11)),
        batch_norm("testing", "", normal(3, 5, 4, 7), phase="TEST"),
        batch_norm("stored in training", "use_global_stats: true", normal(3, 5, 4)),
        batch_norm_of_forks("scaled", "scale_bias: true", normal(3, 5, 4, 7)),
        batch_norm_of_forks(
            "scaled, testing", "scale_filler { value: 2 }", normal(3, 19, 4), "TEST"
        ),
        batch_norm_of_forks("scaled vectors", "use_weight_bias: true", normal(7, 5)),
        batch_norm_of_forks(
            "scaled, sums, testing", "use_weight_bias: true eps: 0.1", normal(3, 5, 4), "TEST"
        ),
        batch_norm("of the batch in testing", "use_global_stats: false", normal(3, 5, 4), "TEST"),
    ],
    "BN": [
        bn("images", "", normal(3, 5, 4, 7)),
        bn("vectors", "momentum: 0.7 eps: 0.1", normal(7, 5)),
        bn("testing", "slope_filler { value: 2 }", normal(3, 19, 4, 7), "TEST"),
        bn("frozen", "frozen: true", normal(3, 5, 4, 7), frozen=(0, 1)),
        bn("rows of parameters", "engine: CAFFE", normal(3, 5, 4, 7)),
        bn("inverse deviation", "fourth_blob: INVERSE_DEVIATION", normal(3, 5, 4)),
        bn(
            "inverse deviation, testing",
            "fourth_blob: INVERSE_DEVIATION",
            normal(3, 5, 4, 7),
            "TEST",
        ),
        segnets_bn("SegNet", "bn_mode: LEARN", normal(3, 5, 4, 7)),
        segnets_bn("SegNet, testing", "scale_filler { value: 2 }", normal(3, 5, 4, 7), "TEST"),
        segnets_bn("SegNet, linear", "bn_mode: INFERENCE", normal(3, 5, 4, 7), "TEST"),
        segnets_bn(
            "SegNet with statistics",
            "shift_filler { value: 2 }",
            normal(3, 5, 4, 7),
            tops=("y", "mean", "variance"),
            tops_without_gradient=("mean", "variance"),
        ),
    ],
    "L2Normalize": [
        Case("rows", "", {"x": normal(3, 5)}, in_place=False),
        Case("images", "", {"x": normal(3, 5, 2, 7)}, in_place=False),
    ],
    "Normalize": [
        Case("SSD", "norm_param { across_spatial: false }", {"x": normal(2, 5, 3, 7)}),
        Case("SSD, samples", "norm_param { eps: 0.5 }", {"x": normal(3, 5, 4)}),
        Case(
            "SSD, a factor each",
            "norm_param { across_spatial: false channel_shared: false }",
            {"x": normal(2, 19, 3, 7)},
            params=(EQUAL,),
        ),
        Case(
            "SSD, samples, a factor each",
            "norm_param { channel_shared: false }",
            {"x": normal(3, 5, 4, 2)},
            params=(EQUAL,),
        ),
        Case("happynear", "", {"x": normal(3, 5)}),
        Case("happynear, images", "normalize_param { }", {"x": normal(3, 5, 4, 2)}),
        Case("L1", 'normalize_param { normalize_type: "L1" }', {"x": normal(3, 5, 4, 2)}),
        Case(
            "norms",
            "",
            {"x": normal(3, 5, 4, 2)},
            tops=("y", "norms"),
            tops_without_gradient=("norms",),
        ),
        Case(
            "norms with gradient",
            "normalize_param { bp_norm: true }",
            {"x": normal(3, 5, 4, 2)},
            tops=("y", "norms"),
        ),
    ],
    "MVN": [
        mvn("images", "", normal(2, 3, 5, 7)),
        mvn("mean only", "normalize_variance: false", normal(2, 3, 5, 7)),
        mvn("across channels", "across_channels: true", normal(3, 2, 5, 4)),
        mvn("vectors across channels", "across_channels: true", normal(3, 7)),
    ],
}
