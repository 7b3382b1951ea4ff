from cases.case import Case, off_zero

CASES = {
    "RReLU": [
        Case(
            "training",
            "rrelu_param { lb: 3 ub: 8 }",
            {"x": off_zero(3, 5, 7)},
            is_stochastic=True,
        ),
        Case("testing", "rrelu_param { lb: 3 ub: 8 }", {"x": off_zero(3, 5, 7)}, phase="TEST"),
    ],
    "PReLU": [
        Case("images", "", {"x": off_zero(2, 3, 5, 7)}, reshapes=({"x": (4, 3, 6, 9)},)),
        Case("vectors", "", {"x": off_zero(3, 5)}),
        Case("one slope", "prelu_param { channel_shared: true }", {"x": off_zero(2, 3, 5)}),
    ],
}
