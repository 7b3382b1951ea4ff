"""Remarks about labels and sizes of converted images."""

import pytest

from minicaffe.data.survey import DatasetSurvey

GREY, RGB = (1, 4, 5), (3, 4, 5)


def remarks(labels, shapes=(GREY,)):
    survey = DatasetSurvey("db")
    for k, label in enumerate(labels):
        survey.add(label, shapes[k % len(shapes)])
    return list(survey.remarks())


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 1], [2, 1, 0, 2], [7, 7]])
def test_usual_labels(labels):
    assert remarks(labels) == []


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (
            [1, 2, 3],
            "the labels are 1 to 3, and no image has label 0: labels begin with 0. Subtract",
        ),
        ([1, 2, 3], "num_output must be 4, and class 0 will never occur"),
        ([5, 6], "Subtract 5 from each; otherwise num_output must be 7, and classes 0 to 4"),
        ([0, 1, 3, 9], "6 of 0 to 9 have no image (2, 4, 5, 6, 7, ...)"),
        ([1, 3], "2 of 0 to 3 have no image (0, 2)."),
        ([*range(100_001), 100_002], "1 of 0 to 100002 have no image (100001)."),
        ([-1, 0, -7], "2 images have a negative label (the least is -7)"),
        ([0, 2**31 - 1], "the labels go up to 2147483647, but 2147483646 of 0 to 2147483647"),
    ],
)
def test_unusual_labels(labels, words):
    (remark,) = remarks(labels)
    assert remark.startswith("db: ")
    assert words in remark


def test_sizes():
    (remark,) = remarks([0] * 5, [GREY, RGB])
    assert remark.startswith(
        "db: the images have 2 different shapes (channels x rows x columns): 3 of 1 x 4 x 5, 2 of "
        "3 x 4 x 5. A batch has one: convert with --resize_height and --resize_width"
    )
    (remark,) = remarks([0] * 9, [(1, n, n) for n in range(1, 10)])
    assert "9 different shapes" in remark
    assert " and others. A batch has one" in remark


def test_boxes_and_skipped_images():
    survey = DatasetSurvey("db")
    survey.add_boxes([3, 3, 1], GREY)
    survey.add_boxes([], RGB)
    survey.skip(None)
    survey.skip(4)
    assert survey.boxes == {3: 2, 1: 1}
    assert (survey.n_with_boxes, survey.n_skipped, survey.skipped) == (2, 2, {4: 1})
    assert not survey.labels
    assert list(survey.remarks()) == []  # layers that read boxes resize images
