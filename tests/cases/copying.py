from cases.case import Case, normal

CASES = {
    "Dropout": [
        Case(
            "training",
            "dropout_param { dropout_ratio: 0.3 }",
            {"x": normal(3, 5, 7)},
            is_stochastic=True,
        ),
        Case("ratio 0", "dropout_param { dropout_ratio: 0 }", {"x": normal(3, 5, 7)}),
        Case(
            "without scale",
            "dropout_param { dropout_ratio: 0.3 scale_train: false }",
            {"x": normal(3, 5, 7)},
            is_stochastic=True,
        ),
        Case(
            "without scale, testing",
            "dropout_param { dropout_ratio: 0.3 scale_train: false }",
            {"x": normal(3, 5, 7)},
            phase="TEST",
        ),
        Case(
            "random while testing",
            "dropout_param { dropout_ratio: 0.3 sample_weights_test: true }",
            {"x": normal(3, 5, 7)},
            phase="TEST",
            is_stochastic=True,
        ),
        Case(
            "testing", "dropout_param { dropout_ratio: 0.3 }", {"x": normal(3, 5, 7)}, phase="TEST"
        ),
    ],
    "SeLuDropout": [
        Case(
            "training",
            "selu_dropout_param { dropout_ratio: 0.1 }",
            {"x": normal(3, 5, 7)},
            is_stochastic=True,
        ),
        Case("testing", "", {"x": normal(3, 5, 7)}, phase="TEST"),
    ],
    "SpatialDropout": [
        Case(
            "training",
            "spatial_dropout_param { dropout_ratio: 0.3 }",
            {"x": normal(3, 19, 5, 7)},
            is_stochastic=True,
        ),
        Case("testing", "", {"x": normal(3, 5, 7)}, phase="TEST"),
    ],
    "Flatten": [
        Case("images", "", {"x": normal(2, 3, 5, 7)}, reshapes=({"x": (3, 2, 6, 9)},)),
        Case("some axes", "flatten_param { axis: -3 end_axis: -2 }", {"x": normal(2, 3, 5, 7)}),
        Case("no axis", "flatten_param { axis: 2 end_axis: 1 }", {"x": normal(2, 3, 5, 7)}),
        Case("no axis of two", "flatten_param { end_axis: 0 }", {"x": normal(2, 3)}),
    ],
    "Silence": [Case("two", "", {"x": normal(2, 3), "z": normal(5)}, tops=())],
    "Split": [
        Case("one", "", {"x": normal(2, 3, 5)}, tops=("u",)),
        Case("three", "", {"x": normal(2, 3, 5)}, tops=("u", "v", "w")),
    ],
}
