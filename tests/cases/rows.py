from cases.case import Case, exactly, labels, normal

NUMBERS = exactly([3, 0, 0, 4, 2, 0, 3])

CASES = {
    "BatchReindex": [
        Case(
            "repeated and left out",
            "",
            {"x": normal(5, 3, 2), "rows": NUMBERS},
            reshapes=({"x": (9, 2, 3)}, {"x": (6, 3, 2)}),
        ),
        Case("vectors", "", {"x": normal(5), "rows": labels(3, below=4)}),
        Case("none", "", {"x": normal(5, 3), "rows": exactly([])}, reshapes=()),
    ],
    "Filter": [
        Case(
            "two",
            "",
            {"x": normal(6, 3, 2), "z": normal(6, 5), "keep": labels(6, below=2)},
            tops=("u", "v"),
        ),
        Case(
            "not only ones",
            "",
            {"x": normal(5, 3), "keep": exactly([[0.25], [0], [-1], [2], [0]])},
            reshapes=({"x": (5, 2)},),
        ),
        Case("none", "", {"x": normal(5, 3), "keep": exactly([0, 0, 0, 0, 0])}, reshapes=()),
        Case("all", "", {"x": normal(3), "keep": exactly([1, 1, 1])}, reshapes=()),
    ],
    "Embed": [
        Case(
            "words",
            "embed_param { input_dim: 7 num_output: 5 }",
            {"t": labels(3, 4, below=7)},
            reshapes=({"t": (2, 6)},),
        ),
        Case(
            "without bias",
            "embed_param { input_dim: 3 num_output: 2 bias_term: false }",
            {"t": labels(9, below=3)},
        ),
    ],
    "Parameter": [Case("matrix", "parameter_param { shape { dim: 3 dim: 5 } }", {})],
}
