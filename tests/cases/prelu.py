from cases.case import Case, Values, normal, off_zero

# Offsets far from all values, so that no hinge is near one.
APART = (normal(), Values((), lambda rng, s: rng.choice([-9.0, 9.0], s)))

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
    "APL": [
        Case("rows", "", {"x": off_zero(7, 5)}, params=APART),
        Case("images", "apl_param { sums: 3 }", {"x": off_zero(3, 2, 5, 4)}, params=APART),
    ],
    "PReLU": [
        Case("images", "", {"x": off_zero(2, 3, 5, 7)}, reshapes=({"x": (4, 3, 6, 9)},)),
        Case("vectors", "", {"x": off_zero(3, 5)}),
        Case("one slope", "prelu_param { channel_shared: true }", {"x": off_zero(2, 3, 5)}),
    ],
}
