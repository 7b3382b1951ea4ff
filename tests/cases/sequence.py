from cases.case import Case, distinct, exactly, labels, normal

# Oracles try all paths: C ** T of them.
ONE = {"x": normal(6, 1, 3), "t": labels(1, 3, below=3)}
LONGER = ({"x": (7, 1, 3)}, {"x": (6, 1, 5), "t": (1, 2)})
SEVERAL = {"x": normal(5, 3, 4), "t": exactly([[3, 3, 1, 2], [1, 0, 1, 0], [3, 3, 3, 0]])}
# Sequences that scores of a few steps have by chance: best class 2, then 1.
FOUND = exactly([[[0, 2, 1], [1, 0, 3]], [[0, 2, 1], [2, 0, 3]], [[5, 2, 1], [1, 7, 3]]])


def loss(name, settings, bottoms, **options):
    return Case(name, settings, bottoms, tops=("loss",), in_place=False, **options)


CASES = {
    "CtcLoss": [
        loss("one sample", "", ONE, reshapes=LONGER),
        loss(
            "last class is the blank",
            "loss_weight: 0.5 ctc_loss_param { blank_label: 2 alphabet_size: 3 time_step: 6 }",
            {"x": normal(6, 1, 3), "t": exactly([[0, 0, 2, 1]])},
            reshapes=(),
        ),
        # The gradient is that of the sum, so it is no derivative of the mean.
        loss("mean", "", SEVERAL, gradients=(), reshapes=()),
        loss("one label", "", {"x": normal(4, 1, 3), "t": exactly([2])}, reshapes=()),
        loss(
            "impossible",
            "",
            {"x": normal(2, 1, 3), "t": exactly([[[[1]], [[1]]]])},
            reshapes=(),
        ),
    ],
    "WarpCTCLoss": [
        loss("one sample", "ctc_loss_param { blank_index: 1 }", ONE, reshapes=LONGER),
        loss("mean of the possible ones", "", SEVERAL, gradients=(), reshapes=()),
    ],
    "CTCGreedyDecoder": [
        Case("sequences", "", {"x": distinct(7, 3, 4)}),
        Case(
            "repeated labels",
            "ctc_decoder_param { blank_index: 3 ctc_merge_repeated: false }",
            {"x": distinct(7, 3, 4)},
        ),
        Case(
            "compared with labels",
            "",
            {"x": FOUND, "t": exactly([[1, 0, 2], [2, 2, 1]])},
            reshapes=(),
        ),
        Case(
            "lengths",
            "",
            {"x": distinct(9, 5, 3), "t": labels(5, 6, below=3)},
            reshapes=({"x": (6, 5, 3)}, {"x": (9, 2, 3), "t": (2, 4)}),
        ),
    ],
    "LabelsequenceAccuracy": [
        Case(
            "one of two",
            "labelsequence_accuracy_param { blank_label: 0 }",
            {"x": exactly(FOUND.draw(None, ()).swapaxes(0, 1)), "t": exactly([[1, 0], [2, 1]])},
            reshapes=(),
        ),
        Case(
            "blank in the middle",
            "labelsequence_accuracy_param { blank_label: 1 }",
            {"x": distinct(5, 7, 3), "t": labels(5, 4, below=3)},
        ),
    ],
    "Transpose": [
        Case(
            "four axes",
            "transpose_param { dim: 3 dim: 0 dim: 2 dim: 1 }",
            {"x": normal(2, 3, 4, 5)},
        ),
        Case("matrix", "transpose_param { dim: 1 dim: 0 }", {"x": normal(7, 3)}),
    ],
    "ReverseTime": [
        Case(
            "zeros behind",
            "",
            {"x": normal(6, 5, 3), "lengths": exactly([6, 0, 3, 1, 5])},
            reshapes=({"x": (7, 5, 2)},),
        ),
        Case(
            "copy_remaining",
            "reverse_time_param { copy_remaining: true }",
            {"x": normal(7, 3), "lengths": exactly([2, 7, 4])},
            reshapes=(),
        ),
    ],
}
