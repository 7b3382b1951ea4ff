"""Average precision of found objects by PASCAL VOC's rules of 2007."""

import numpy as np
import pytest

from minicaffe.analysis.detection import match_objects, precision_report, read_true_objects

# Class, score, corners in pixels from 1; class, is difficult, corners.
TRUE = np.array(
    [
        [1, 0, 1, 1, 10, 10],
        [1, 0, 21, 1, 30, 10],
        [1, 1, 41, 1, 50, 10],
        [2, 0, 1, 1, 10, 10],
    ]
)


def rows(*found):
    counts, rest = np.split(match_objects(np.array(found, float).reshape(-1, 6), TRUE), [2])
    np.testing.assert_array_equal(counts, [[-1, 1, 2, -1, -1], [-1, 2, 1, -1, -1]])
    return rest.tolist()


def test_an_object_is_found_once():
    second, first = [1, 0.5, 1, 1, 10, 10], [1, 0.75, 2, 1, 10, 10]
    assert rows(second, first) == [[0, 1, 0.75, 1, 0], [0, 1, 0.5, 0, 1]]


def test_the_last_row_and_column_count():
    # 5 x 10 of 10 x 10 pixels are exactly one half, which is too little.
    assert rows([1, 0.5, 1, 1, 10, 5]) == [[0, 1, 0.5, 0, 1]]
    assert rows([1, 0.5, 1, 1, 10, 6]) == [[0, 1, 0.5, 1, 0]]


def test_difficult_objects_are_ignored():
    assert rows([1, 0.5, 41, 1, 50, 10], [1, 0.25, 41, 1, 50, 10]) == []


def test_classes_are_apart():
    assert rows([2, 0.5, 21, 1, 30, 10]) == [[0, 2, 0.5, 0, 1]]
    assert rows() == []


def test_the_report_has_eleven_points():
    found = [[1, 0.75, 1, 1, 10, 10], [1, 0.5, 61, 1, 70, 10], [1, 0.25, 21, 1, 30, 10]]
    matched = match_objects(np.array(found, float), TRUE)
    # Precision 1 for recalls 0 to 0.5; 2 / 3 for those up to 1.
    precision = (6 + 5 * 2 / 3) / 11
    assert precision_report(matched, {0: "none", 1: "cat", 2: "dog", 3: "cow"}) == [
        f"AP for cat = {precision:.4f}",
        "AP for dog = 0.0000",
        "AP for cow: no true objects",
        f"Mean AP = {precision / 2:.4f}",
    ]


def test_without_true_objects_there_is_no_mean():
    matched = match_objects(np.array([[1, 0.5, 1, 1, 2, 2]]), np.zeros((0, 6)))
    assert precision_report(matched, {1: "cat"}) == [
        "AP for cat: no true objects",
        "Mean AP: no true objects",
    ]


@pytest.mark.parametrize("difficult", [0, 1])
def test_true_objects_are_read_in_pixels_from_1(tmp_path, difficult):
    (tmp_path / "a.xml").write_text(
        "<annotation><size><width>70</width><height>50</height></size><object><name>dog</name>"
        f"<difficult>{difficult}</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>70</xmax>"
        "<ymax>40</ymax></bndbox></object></annotation>"
    )
    found = read_true_objects(str(tmp_path / "a.xml"), (50, 70), {"dog": 2})
    np.testing.assert_allclose(found, [[2, difficult, 1, 2, 70, 40]])
