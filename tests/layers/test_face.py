"""Layers for faces: schedules, resuming, gradients that are no derivatives, messages."""

from __future__ import annotations

import numpy as np
import pytest

from cases.case import Case, exactly, labels, normal
from minicaffe.errors import NetError
from probe import REFERENCE, Probe, make_backend

FEATURES = {"x": normal(5, 4), "t": labels(5, below=3)}
SPHERE = "margin_inner_product_param { num_output: 3 type: TRIPLE base: 10 gamma: 0.5"


def margin_probe(settings=f"{SPHERE} lambda_min: 3 }}"):
    case = Case("schedule", settings, FEATURES, tops=("y", "lambda"))
    return Probe("MarginInnerProduct", case, make_backend(REFERENCE))


def lambdas(probe, n):
    found = []
    for _ in range(n):
        probe.step.forward()
        found.append(float(probe.tops["lambda"].data.get()[0]))
    return found


def test_lambda_falls_with_the_passes_to_its_minimum():
    probe = margin_probe()
    np.testing.assert_allclose(lambdas(probe, 5), [10 / 1.5, 10 / 2, 10 / 2.5, 10 / 3, 3])


def test_a_resumed_layer_continues_the_schedule():
    first = margin_probe()
    lambdas(first, 2)
    second = margin_probe()
    second.layer.restore(first.layer.state())
    assert lambdas(second, 2) == lambdas(first, 2)


def test_the_bias_grows_between_its_limits():
    settings = "bias_base: 1 bias_gamma: 1 bias_min: 1.5 bias_max: 3 iteration: 1"
    case = Case(
        "schedule",
        f"label_specific_add_param {{ {settings} }}",
        {"x": normal(5, 3), "t": labels(5, below=3)},
        tops=("y", "bias"),
    )
    probe = Probe("LabelSpecificAdd", case, make_backend(REFERENCE))
    found = []
    for _ in range(3):
        probe.step.forward()
        found.append(float(probe.tops["bias"].data.get()[0]))
    assert found == [2, 3, 3]


def test_a_step_of_a_center_ignores_the_loss_weight(backend):
    case = Case(
        "step",
        "loss_weight: 0.5 center_loss_param { num_output: 3 }",
        {"x": exactly([[2, 4], [4, 8], [1, 1]]), "t": exactly([0, 0, 2])},
        tops=("loss",),
    )
    probe = Probe("CenterLoss", case, backend)
    probe.layer.blobs[0].data.set(np.ones((3, 2)))
    probe.clear_param_diffs()
    probe.forward()
    probe.tops["loss"].diff.set(0.5)
    probe.layer.backward(probe.step.top, [True, False], probe.step.bottom)
    want = [[-4 / 3, -10 / 3], [0, 0], [0, 0]]
    np.testing.assert_allclose(probe.layer.blobs[0].diff.get(), want, rtol=1e-6)


def test_unit_rows_are_written_into_the_weights(backend):
    case = Case(
        "unit", "inner_product_param { num_output: 2 normalize: true }", {"x": normal(3, 2)}
    )
    probe = Probe("InnerProduct", case, backend)
    probe.layer.blobs[0].data.set([[3, 4], [0, 0]])
    probe.forward()
    np.testing.assert_allclose(probe.layer.blobs[0].data.get(), [[0.6, 0.8], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("layer_type", "settings", "bottoms", "message"),
    [
        ("MarginInnerProduct", "", FEATURES, r"num_output is missing or 0"),
        (
            "LargeMarginInnerProduct",
            "largemargin_inner_product_param { num_output: 3 }",
            {**FEATURES, "t": labels(4, below=3)},
            r"needs one label a sample; .* has 4",
        ),
        ("CenterLoss", "", FEATURES, r"num_output is missing or 0"),
        (
            "CenterLoss",
            'center_loss_param { num_output: 3 distance_type: "L1" }',
            FEATURES,
            r'distance_type: "L1" must be "L2"',
        ),
        (
            "CenterLoss",
            "center_loss_param { num_output: 3 axis: 0 }",
            FEATURES,
            r"axis: 0 must be 1",
        ),
        ("LabelSpecificAdd", "", {**FEATURES, "t": normal(5, 2)}, r"needs one label a sample"),
        ("InnerDistance", "", {"x": normal(5, 4)}, r"num_output is missing or 0"),
        (
            "InnerDistance",
            'inner_distance_param { num_output: 3 distance_type: "L3" }',
            {"x": normal(5, 4)},
            r'distance_type: "L3" must be "L2" or "L1"',
        ),
        (
            "InnerDistance",
            "inner_distance_param { num_output: 3 update_center_only: true }",
            {"x": normal(5, 4)},
            r"update_center_only is not supported. Remove it",
        ),
        ("Gram", "", {"x": normal(5)}, r"must be \(N, C, ...\), it is \(5,\)"),
        (
            "TripletLoss",
            "",
            {"a": normal(5, 2), "p": normal(5, 2), "n": normal(5, 3)},
            r"must have as many samples of as many values",
        ),
    ],
)
def test_errors_when_the_net_is_built(layer_type, settings, bottoms, message, backend):
    with pytest.raises(NetError, match=r'net\.prototxt:\d+, layer "probe" \(\w+\): .*' + message):
        Probe(layer_type, Case("refused", settings, bottoms), backend)
