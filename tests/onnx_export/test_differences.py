"""What --check compares: bottoms of sensitive layers, rows, and inputs with a meaning."""

import numpy as np
import onnx
import pytest

from minicaffe.onnx_export.check import difference_of_rows, differences
from minicaffe.onnx_export.drawn_inputs import ImageSize, RegionRows, WholeNumbers
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.onnx_runtime import TOLERANCE
from onnx_export.exporting import export_text, set_normal

SOFTMAX = (
    'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 5 } } }\n'
    'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" '
    "inner_product_param { num_output: 7 } }\n"
    'layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }'
)
ROWS = np.array([[0, 1, 0.9, 30], [0, 1, 0.8, 10], [0, 1, 0.8, 20], [1, 2, 0.5, 15]])


def set_large(net):
    set_normal(net)
    for blob in net.layers[1].blobs:
        blob.data.set(1000 * blob.data.get())


@pytest.mark.parametrize("fill", [set_normal, set_large])
def test_a_softmax_is_compared_on_ordinary_values(fill, tmp_path):
    source, graph = export_text(SOFTMAX, tmp_path / "net.onnx", fill)
    found = differences(tmp_path / "net.onnx", source, graph, fill)
    assert found.keys() == {'bottom "ip" of layer "prob"', "prob"}
    # It would be 0 if all values were 0 and 1.
    assert 0 < found["prob"] <= TOLERANCE


def test_a_wrong_weight_is_found_before_the_softmax(tmp_path):
    path = tmp_path / "net.onnx"
    source, graph = export_text(SOFTMAX, path, set_large)
    model = onnx.load(path)
    for value in model.graph.initializer:
        array = onnx.numpy_helper.to_array(value)
        value.CopyFrom(onnx.numpy_helper.from_array(array * np.float32(1.001), value.name))
    onnx.save(model, path)
    found = differences(path, source, graph, set_large)
    assert found['bottom "ip" of layer "prob"'] > TOLERANCE
    assert found["prob"] <= TOLERANCE  # given the same bottom


def test_a_value_that_two_layers_read_is_replaced_for_one_of_them(tmp_path):
    text = SOFTMAX + '\nlayer { name: "twice" type: "Power" bottom: "ip" top: "twice" }'
    source, graph = export_text(text, tmp_path / "net.onnx", set_large)
    found = differences(tmp_path / "net.onnx", source, graph, set_large)
    assert "twice" in found
    assert max(found.values()) <= TOLERANCE


@pytest.mark.parametrize(
    ("order", "is_same"), [((0, 2, 1, 3), True), ((2, 1, 0, 3), True), ((0, 1, 2), False)]
)
def test_rows_may_change_places(order, is_same):
    assert (difference_of_rows(ROWS[list(order)], ROWS) <= TOLERANCE) == is_same


def test_rows_far_apart_are_different():
    rows = np.arange(12.0)[:, None] + np.zeros((12, 2))
    assert difference_of_rows(np.roll(rows, 6, axis=0), rows) > TOLERANCE


@pytest.mark.parametrize(("n", "is_same"), [(2500, True), (900, False)])
def test_one_row_in_a_thousand_may_be_missing(n, is_same):
    rows = np.arange(1.0 * n)[::-1, None] / n + np.zeros((n, 3))
    other = np.delete(rows, 70, axis=0)
    assert (difference_of_rows(other, rows) <= TOLERANCE) == is_same
    assert (difference_of_rows(rows, other) <= TOLERANCE) == is_same
    assert difference_of_rows(np.delete(rows, slice(70, 80), axis=0), rows) > TOLERANCE


def test_a_small_column_is_compared_with_its_own_size():
    # 0.001 in a score is much, although coordinates are 30.
    other = ROWS + np.array([0, 0, 1e-3, 0])
    assert difference_of_rows(other, ROWS) > TOLERANCE
    assert difference_of_rows(ROWS + np.array([0, 0, 0, 1e-3]), ROWS) <= TOLERANCE


def test_inputs_are_drawn_by_their_meaning():
    random = np.random.default_rng(0)
    rois = RegionRows(3, (40, 60)).sample_values(random, (50, 5, 1, 1)).reshape(50, 5)
    assert set(rois[:, 0]) == {0, 1, 2}
    assert (rois[:, 1:3] <= rois[:, 3:]).all()
    assert rois[:, 3].max() <= 59
    assert 30 < rois[:, 4].max() <= 39
    np.testing.assert_array_equal(
        ImageSize((40, 60)).sample_values(random, (1, 4)), [[40, 60, 1, 1]]
    )


def test_the_smallest_limit_of_an_input_counts():
    graph = OnnxGraph(13, inputs={"x": (4,)})
    for limit in (7, 3, 5):
        graph.expect("x", WholeNumbers(limit))
        graph.expect("y", WholeNumbers(limit))
    assert graph.rules == {"x": WholeNumbers(3)}
