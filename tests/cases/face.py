from cases.case import Case, exactly, labels, normal, off_zero

FEATURES = {"x": normal(7, 5), "t": labels(7, below=3)}
MAPS = {"x": normal(3, 2, 5), "t": labels(3, below=4)}
# Scores on both sides of 0.35, none near it.
SCORES = {"x": off_zero(7, 5, kinks=(0.35,)), "t": labels(7, below=5)}
EVEN = {"x": off_zero(7, 5, kinks=(-0.5,)), "t": labels(7, below=5)}


def large(kind, settings=""):
    return f"largemargin_inner_product_param {{ num_output: 3 type: {kind} base: 2 {settings} }}"


def sphere(kind, settings=""):
    return f"margin_inner_product_param {{ num_output: 3 type: {kind} base: 2 {settings} }}"


# Its gradients are no derivatives: those of the golden data hold them.
NO_DERIVATIVE = {"gradients": (), "params_without_gradient": (0,)}

CASES = {
    "LargeMarginInnerProduct": [
        Case("single", large("SINGLE"), FEATURES),
        Case("double", large("DOUBLE"), FEATURES),
        Case("triple", large("TRIPLE", "lambda_min: 5"), FEATURES),
        Case(
            "quadruple",
            "largemargin_inner_product_param { num_output: 4 type: QUADRUPLE base: 0.5 }",
            MAPS,
            tops=("y", "lambda"),
            tops_without_gradient=("lambda",),
            in_place=False,
        ),
    ],
    "MarginInnerProduct": [
        Case("single", sphere("SINGLE"), FEATURES, **NO_DERIVATIVE),
        Case("triple", sphere("TRIPLE"), FEATURES, **NO_DERIVATIVE),
        Case(
            "quadruple",
            sphere("QUADRUPLE"),
            FEATURES,
            tops=("y", "lambda"),
            tops_without_gradient=("lambda",),
            in_place=False,
            **NO_DERIVATIVE,
        ),
    ],
    "CenterLoss": [
        Case(
            "vectors",
            "center_loss_param { num_output: 3 }",
            FEATURES,
            tops=("loss",),
            params_without_gradient=(0,),
            in_place=False,
        ),
        Case(
            "weighted",
            "loss_weight: 0.25 center_loss_param { num_output: 6 }",
            {"x": normal(5, 2, 3), "t": labels(5, 1, 1, 1, below=6)},
            tops=("loss",),
            params_without_gradient=(0,),
            in_place=False,
        ),
    ],
    "LabelSpecificAdd": [
        Case("margin", "label_specific_add_param { bias: -0.35 }", SCORES),
        Case("test phase", "label_specific_add_param { bias: -0.35 }", SCORES, phase="TEST"),
        Case(
            "annealed",
            "label_specific_add_param { bias_base: 0.5 bias_max: 2 transform_test: true }",
            EVEN,
            tops=("y", "bias"),
            tops_without_gradient=("bias",),
            phase="TEST",
        ),
    ],
    "InnerDistance": [
        Case("squares", "inner_distance_param { num_output: 3 }", {"x": normal(7, 5)}),
        Case(
            "L1",
            'inner_distance_param { num_output: 4 distance_type: "L1" axis: 2 bias_term: false }',
            {"x": normal(2, 3, 5)},
        ),
        Case(
            "unit vectors",
            "inner_distance_param { num_output: 3 transpose: true normalize: true }",
            {"x": normal(6, 5)},
            # Forward scales the weights, so that their gradient is no derivative.
            params_without_gradient=(0,),
        ),
    ],
    "Gram": [
        Case("images", "", {"x": normal(3, 5, 2, 7)}),
        Case("vectors", "", {"x": normal(2, 3)}),
    ],
    "TripletLoss": [
        Case(
            "vectors",
            "",
            {"a": normal(7, 3), "p": normal(7, 3), "n": normal(7, 3)},
            tops=("loss",),
            in_place=False,
        ),
        Case(
            "wide margin",
            "triplet_loss_param { margin: 3.5 }",
            {"a": normal(5, 3), "p": normal(5, 3, 1, 1), "n": exactly([[4, 0, 0]] * 5)},
            tops=("loss",),
            reshapes=(),
            in_place=False,
        ),
    ],
}
