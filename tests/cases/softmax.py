from cases.case import Case, distinct, labels, normal

SCORES = {"x": normal(7, 5), "t": labels(7, below=5)}
PIXELS = {"x": normal(2, 5, 3, 4), "t": labels(2, 3, 4, below=5)}

WEIGHTS = (0.3, 1.75, 4, 0.5, 0.9)
WEIGHTED = " ".join(f"class_weighting: {w}" for w in WEIGHTS) + " weight_by_label_freqs: true"
OWN_WEIGHTS = " ".join(f"class_weight: {w}" for w in WEIGHTS)


def loss(name, settings, bottoms, **options):
    return Case(name, settings, bottoms, tops=("loss",), in_place=False, **options)


CASES = {
    "Softmax": [
        Case("rows", "", {"x": normal(3, 5)}),
        Case("pixels", "", {"x": normal(2, 5, 3, 4)}, reshapes=({"x": (3, 5, 4, 6)},)),
        Case("last axis", "softmax_param { axis: -1 }", {"x": normal(2, 3, 5)}),
    ],
    "SoftmaxWithLoss": [
        loss("rows", "", SCORES),
        loss("pixels", "", PIXELS, reshapes=({"x": (3, 5, 4, 6), "t": (3, 4, 6)},)),
        loss("ignore_label", "loss_param { ignore_label: 1 }", PIXELS),
        loss(
            "full",
            "loss_param { ignore_label: 1 normalization: FULL } loss_weight: 0.5",
            PIXELS,
        ),
        loss("batch size", "loss_param { ignore_label: 1 normalization: BATCH_SIZE }", PIXELS),
        loss("none", "loss_param { normalization: NONE }", PIXELS),
        loss(
            "fixed divisor",
            "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 5 }",
            PIXELS,
        ),
        loss("class weights", f"loss_param {{ {WEIGHTED} ignore_label: 1 }}", PIXELS),
        loss("smoothed labels", "loss_param { label_smoothing: 0.1 ignore_label: 1 }", PIXELS),
        loss("smoothed, weighted", f"loss_param {{ label_smoothing: 0.3 {OWN_WEIGHTS} }}", SCORES),
        loss("normalize: false", "loss_param { normalize: false }", PIXELS),
        loss(
            "axis 2",
            "softmax_param { axis: 2 }",
            {"x": normal(2, 3, 5), "t": labels(2, 3, below=5)},
        ),
        Case(
            "probabilities too",
            "",
            SCORES,
            tops=("loss", "p"),
            tops_without_gradient=("p",),
            in_place=False,
        ),
    ],
    "Accuracy": [
        Case("top 1", "", {"x": distinct(7, 5), "t": labels(7, below=5)}),
        Case(
            "top 2",
            "accuracy_param { top_k: 2 }",
            {"x": distinct(2, 5, 3, 4), "t": labels(2, 3, 4, below=5)},
        ),
        Case(
            "ignored, by class",
            "accuracy_param { ignore_label: 1 }",
            {"x": distinct(9, 4), "t": labels(9, below=4)},
            tops=("y", "by_class"),
        ),
    ],
}
