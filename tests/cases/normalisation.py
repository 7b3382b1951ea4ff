from cases.case import Case, normal, positive


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


CASES = {
    "BatchNorm": [
        batch_norm("images", "", normal(3, 5, 4, 7)),
        batch_norm("vectors", "eps: 0.1", normal(7, 5)),
        batch_norm("one channel", "", normal(11)),
        batch_norm("testing", "", normal(3, 5, 4, 7), phase="TEST"),
        batch_norm("stored in training", "use_global_stats: true", normal(3, 5, 4)),
        batch_norm("of the batch in testing", "use_global_stats: false", normal(3, 5, 4), "TEST"),
    ],
    "MVN": [
        mvn("images", "", normal(2, 3, 5, 7)),
        mvn("mean only", "normalize_variance: false", normal(2, 3, 5, 7)),
        mvn("across channels", "across_channels: true", normal(3, 2, 5, 4)),
        mvn("vectors across channels", "across_channels: true", normal(3, 7)),
    ],
}
