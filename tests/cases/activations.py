from cases.case import Case, normal, off_zero

CASES = {
    "ReLU": [
        Case("plain", "", {"x": off_zero(3, 5, 7)}),
        Case("leaky", "relu_param { negative_slope: 0.1 }", {"x": off_zero(2, 3, 5, 7)}),
        Case(
            "negative slope",
            "relu_param { negative_slope: -0.5 }",
            {"x": off_zero(3, 5)},
            in_place=False,
        ),
    ],
    "Sigmoid": [Case("plain", "", {"x": normal(3, 5, 7)})],
    "TanH": [Case("plain", "", {"x": normal(3, 5, 7)})],
}
