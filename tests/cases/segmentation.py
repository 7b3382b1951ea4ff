from cases.case import Case, distinct, exactly, labels

ZEROS_AND_ONES = [[[[0, 1, 1]], [[1, 1, 0]], [[1, 0, 0]]]]

CASES = {
    "SegAccuracy": [
        Case(
            "ignored",
            "seg_accuracy_param { ignore_label: 255 ignore_label: 2 }",
            {"x": distinct(2, 5, 3, 7), "labels": labels(2, 1, 3, 7, below=5)},
            tops=("measures",),
            in_place=False,
        ),
        Case(
            "absent classes",
            "",
            {"x": distinct(1, 9, 3, 2), "labels": labels(1, 3, 2, below=3)},
            tops=("measures",),
            in_place=False,
        ),
        Case(
            "ties",
            "",
            {"x": exactly(ZEROS_AND_ONES), "labels": exactly([[[[2, 1, 0]]]])},
            tops=("measures",),
            in_place=False,
            reshapes=(),
        ),
    ],
}
