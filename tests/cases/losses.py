from cases.case import Case, Values, exactly, labels, normal, off_zero, positive

SCORES = {"x": off_zero(7, 5, kinks=(-1.0, 1.0)), "t": labels(7, below=5)}
PAIRS = {"x": normal(7, 3), "z": normal(7, 3), "similar": labels(7, below=2)}
# The gradient of a dissimilar pair divides by the distance plus 1e-4, which is not its derivative.
NEAR_ZERO = 500
CONFUSION = {"x": normal(7, 5), "t": labels(7, below=5), "h": normal(5, 5)}
PIXELS = {"x": normal(2, 5, 3, 4), "t": labels(2, 3, 4, below=5), "h": positive(1, 1, 5, 5)}
LARGER = ({"x": (3, 5, 4, 6), "t": (3, 4, 6)},)
TARGETS = Values((5, 3, 2), lambda rng, s: rng.uniform(0, 1, s))
SIGMOIDS = {"x": normal(5, 3, 2), "t": TARGETS}
SOME_IGNORED = {"x": normal(5, 3, 2), "t": labels(5, 3, 2, below=3)}


def loss(name, settings, bottoms, **options):
    return Case(name, settings, bottoms, tops=("loss",), in_place=False, **options)


CASES = {
    "EuclideanLoss": [
        loss("vectors", "", {"x": normal(7, 5), "z": normal(7, 5)}),
        loss("other axes", "loss_weight: 3", {"x": normal(2, 3, 5), "z": normal(2, 5, 3, 1)}),
    ],
    "HingeLoss": [
        loss("L1", "", SCORES),
        loss("L2", "hinge_loss_param { norm: L2 }", SCORES),
        loss("images", "", {"x": off_zero(4, 2, 3, kinks=(-1, 1)), "t": labels(4, 1, below=6)}),
    ],
    "ContrastiveLoss": [
        loss("pairs", "", PAIRS, derivative_factor=NEAR_ZERO),
        loss(
            "wide margin",
            "contrastive_loss_param { margin: 3.5 }",
            {**PAIRS, "z": normal(7, 3, 1, 1)},
            derivative_factor=NEAR_ZERO,
        ),
        loss("legacy", "contrastive_loss_param { legacy_version: true margin: 4 }", PAIRS),
    ],
    "MultinomialLogisticLoss": [
        loss("rows", "", {"x": positive(7, 5), "t": labels(7, below=5)}),
        loss("images", "", {"x": positive(3, 5, 2), "t": labels(3, 1, 1, 1, below=10)}),
    ],
    "InfogainLoss": [
        loss("rows", "", CONFUSION, reshapes=({"x": (9, 5), "t": (9,)},)),
        loss("pixels", "", PIXELS, reshapes=LARGER),
        loss("ignore_label", "loss_param { ignore_label: 1 }", PIXELS, reshapes=LARGER),
        loss(
            "full",
            "loss_param { ignore_label: 1 normalization: FULL }",
            PIXELS,
            reshapes=LARGER,
        ),
        loss(
            "batch size",
            "loss_param { ignore_label: 1 normalization: BATCH_SIZE }",
            PIXELS,
            reshapes=LARGER,
        ),
        loss("none", "loss_param { normalization: NONE }", PIXELS, reshapes=LARGER),
        loss(
            "last axis",
            "infogain_loss_param { axis: -1 }",
            {"x": normal(2, 3, 5), "t": labels(2, 3, below=5), "h": normal(5, 5)},
            reshapes=({"x": (4, 3, 5), "t": (4, 3)},),
        ),
        Case(
            "probabilities too",
            "",
            CONFUSION,
            tops=("loss", "p"),
            tops_without_gradient=("p",),
            reshapes=({"x": (9, 5), "t": (9,)},),
            in_place=False,
        ),
    ],
    "SigmoidCrossEntropyLoss": [
        loss("probabilities", "", SIGMOIDS),
        loss(
            "large scores",
            "",
            {"x": exactly([[90.0], [-70.0]]), "t": exactly([[0.25], [0.75]])},
            reshapes=(),
        ),
        loss("ignore_label", "loss_param { ignore_label: 2 }", SOME_IGNORED),
        loss("valid", "loss_param { ignore_label: 2 normalization: VALID }", SOME_IGNORED),
        loss("full", "loss_param { normalization: FULL }", SIGMOIDS),
        loss("none", "loss_param { ignore_label: 2 normalization: NONE }", SOME_IGNORED),
        loss("normalize", "loss_param { ignore_label: 2 normalize: true }", SOME_IGNORED),
    ],
}
