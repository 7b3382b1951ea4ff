"""Losses of YOLO: gradients that are no derivatives; labels, batches and settings of the layers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cases import CASES
from cases.case import Case, exactly, normal
from minicaffe.errors import LabelError, MinicaffeError
from minicaffe.layers import layer_class
from minicaffe.schema import LayerParameter
from oracles.yolo.losses import mask_deltas, region_deltas, yolov3_deltas
from probe import REFERENCE, Probe, make_backend, net_from_text
from tolerances import BY_DTYPE, Tolerance, assert_close

DELTAS = {
    "RegionLoss": region_deltas,
    "Yolov3": yolov3_deltas,
    "GaussianYolov3": lambda *arrays: yolov3_deltas(*arrays, is_gaussian=True),
    "YoloSeg": mask_deltas,
}
LOSSES = [
    pytest.param(name, case, id=f"{name}-{case.name.replace(' ', '_')}")
    for name in DELTAS
    for case in CASES[name]
]
# The oracle takes the slopes of measures by differences.
BY_DIFFERENCES = Tolerance(absolute=1e-6, relative=1e-5)


@pytest.mark.parametrize(("layer_type", "case"), LOSSES)
def test_gradient_is_minus_the_deltas(layer_type, case, backend):
    case = dataclasses.replace(case, gradients=("x",))
    probe = Probe(layer_type, case, backend)
    inputs = probe.inputs()
    probe.forward(inputs)
    got = probe.backward()["x"]
    deltas = DELTAS[layer_type](probe.layer.param, *inputs.values())
    want = -deltas * probe.top_diffs()["loss"] / len(deltas)
    allowed = BY_DTYPE[backend.dtype.name]
    if backend.dtype == np.float64:
        allowed = BY_DIFFERENCES
    assert_close(got, want, allowed, "gradient")


def test_no_image_gives_no_loss(backend):
    bottoms = {"x": normal(0, 16, 5, 4), "t": normal(0, 3, 5)}
    case = Case("none", CASES["Yolov3"][0].settings, bottoms, ("loss",), gradients=("x",))
    assert Probe("Yolov3", case, backend).run()["top loss"] == 0


def test_a_class_that_does_not_exist_is_an_error():
    truth = exactly([[[0, 0.5, 0.5, 0.2, 0.2]], [[3, 0.5, 0.5, 0.2, 0.2]]])
    case = dataclasses.replace(
        CASES["RegionLoss"][0], bottoms={"x": normal(2, 16, 4, 5), "t": truth}
    )
    with pytest.raises(LabelError, match=r"label 3 of sample 1 .* from 0 to 2"):
        Probe("RegionLoss", case, make_backend(REFERENCE)).forward()


def test_each_image_of_a_batch_has_its_own_detections():
    """The second image repeats the first, so that it would be suppressed by it."""
    x = np.random.default_rng(1).standard_normal((1, 16, 3, 4))
    settings = CASES["YoloDetectionOutput"][0].settings
    one = Probe(
        "YoloDetectionOutput", Case("one", settings, {"x": exactly(x)}), make_backend(REFERENCE)
    )
    two = Probe(
        "YoloDetectionOutput",
        Case("two", settings, {"x": exactly(np.concatenate([x, x]))}),
        make_backend(REFERENCE),
    )
    want = one.forward()["y"][0, 0]
    got = two.forward()["y"][0, 0]
    np.testing.assert_array_equal(got[:, 0], np.repeat([0, 1], len(want)))
    np.testing.assert_array_equal(got[:, 1:], np.concatenate([want, want])[:, 1:])


@pytest.mark.parametrize("layer_type", ["YoloDetectionOutput", "Yolov3DetectionOutput"])
def test_boxes_of_a_net_that_was_not_trained_are_finite(layer_type):
    case = CASES[layer_type][0]
    large = {name: exactly(np.full(values.shape, 1000.0)) for name, values in case.bottoms.items()}
    probe = Probe(layer_type, dataclasses.replace(case, bottoms=large), make_backend(REFERENCE))
    (rows,) = probe.forward().values()
    assert np.isfinite(rows).all()
    assert rows[0, 0, 0, 1] > 0


def test_fields_without_effect_are_named():
    param = LayerParameter(type="RegionLoss")
    param.region_loss_param.jitter = 0.2
    param.region_loss_param.random = 1
    assert list(layer_class("RegionLoss").unread_settings(param)) == [
        "jitter, random: no effect in RegionLoss, as in MobileNet-YOLO."
    ]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ('type: "RegionLoss"', "there are 0 numbers"),
        ('type: "RegionLoss" region_loss_param { biases: 1 biases: 2 }', "num: 5 anchors need 10"),
        (
            'type: "RegionLoss" region_loss_param { num: 1 biases: 1 biases: 2 coords: 5 }',
            "coords: 5 must be 4",
        ),
        (
            'type: "RegionLoss" region_loss_param { num: 1 biases: 1 biases: 2 softmax_tree: "t" }',
            "softmax_tree",
        ),
        (
            'type: "RegionLoss" region_loss_param { num: 1 num_class: 2 biases: 1 biases: 2 }',
            r'bottom "x" must be \(N, 7, H, W\), it is \(2, 16, 4, 5\)',
        ),
        (
            'type: "Yolov3" yolov3_param { num: 2 mask: 0 biases: 1 biases: 2 }',
            "num: 2 must be the number of anchors that mask names, 1",
        ),
        (
            'type: "Yolov3" yolov3_param { num: 1 mask: 3 biases: 1 biases: 2 }',
            "mask: 3 is not an anchor; biases gives 1",
        ),
        (
            'type: "Yolov3" yolov3_param { num: 1 mask: 0 biases: 1 biases: 2 anchors_scale: 0 }',
            "anchors_scale: 0 must be above 0",
        ),
        (
            'type: "YoloSeg" yolo_seg_param { use_hardsigmoid: true }',
            "use_hardsigmoid: true is not",
        ),
        (
            'type: "Yolov3DetectionOutput" yolov3_detection_output_param { biases: 1 biases: 2 }',
            "2 bottoms with num_box: 3 boxes need 6 masks, there are 0",
        ),
    ],
)
def test_refusals(layer, message):
    with pytest.raises(MinicaffeError, match=message):
        net_from_text(
            """
            layer { name: "in" type: "Input" top: "x" top: "t" input_param {
              shape { dim: 2 dim: 16 dim: 4 dim: 5 } shape { dim: 2 dim: 3 dim: 5 } } }
            layer { name: "a" bottom: "x" bottom: "t" top: "y" """
            + layer
            + "}"
        )
