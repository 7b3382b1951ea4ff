"""Layers of MS-CNN: the gradient of DetectionLoss, random choices, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cases import CASES
from cases.mscnn import ROIS, TRUTHS, loss
from minicaffe.errors import MinicaffeError
from probe import REFERENCE, Probe, make_backend, net_from_text


@pytest.mark.parametrize("case", CASES["DetectionLoss"], ids=lambda case: case.name)
def test_gradient_is_that_of_the_first_value(case, backend):
    """Inside of the limits; elsewhere the loss does not change, but the gradient is not 0."""
    case = dataclasses.replace(case, gradients=("x",))
    probe = Probe("DetectionLoss", case, backend)
    probe.top_diffs = lambda: {"loss": np.array([2.0, 7.0]).reshape(1, 1, 1, 2)}
    inputs = probe.inputs()
    inputs["x"][:, -4:] *= 0.05
    probe.forward(inputs)
    got = probe.backward()["x"]
    reference = Probe("DetectionLoss", case, make_backend(REFERENCE))
    direction = np.random.default_rng(0).standard_normal(inputs["x"].shape)
    values = [
        2 * reference.forward({**inputs, "x": inputs["x"] + h * direction})["loss"].ravel()[0]
        for h in (1e-6, -1e-6)
    ]
    slope = (values[0] - values[1]) / 2e-6
    np.testing.assert_allclose((got * direction).sum(), slope, rtol=1e-4)


@pytest.mark.parametrize("mode", ["random", "mixture"])
def test_negatives_are_drawn_at_random_and_again_alike(mode):
    case = dataclasses.replace(
        loss("drawn", f'sample_mode: "{mode}" bg_multiple: 1 bg_threshold: 0.9'), gradients=("x",)
    )
    probe = Probe("DetectionLoss", case, make_backend(REFERENCE))
    probe.top_diffs = lambda: {"loss": np.ones((1, 1, 1, 2))}
    labels = probe.inputs()["t"]
    found = []
    for step in (0, 1, 0):
        probe.forward()
        probe.layer.restore({"negatives": [probe.layer.context.seed, step]})
        probe.step.forward()
        found.append(np.abs(probe.backward()["x"][:, :3]).sum(1) > 0)
    assert (found[0] == found[2]).all()
    assert (found[0] != found[1]).any()
    for used in found:
        assert used[labels[:, 0] > 0].all()
        negatives = used & (labels[:, 0] == 0)
        assert negatives.any()
        assert (labels[:, 5][negatives] < 0.9).all()


def test_regions_are_chosen_at_random():
    case = dataclasses.replace(
        CASES["ProposalTarget"][0],
        settings="proposal_target_param { cls_num: 3 batch_size: 4 bg_thr_lw: 0 }",
        bottoms={"r": ROIS, "t": TRUTHS},
    )
    probe = Probe("ProposalTarget", case, make_backend(REFERENCE))
    tops = probe.forward()
    labels = tops["labels"].ravel()
    assert len(labels) == 4
    assert (labels[:1] > 0).all()  # a quarter
    assert not labels[1:].any()
    np.testing.assert_array_equal(tops["matches"][0, 0], labels[:1].reshape(1, 1))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ('type: "BoxOutput" bottom: "x"', "1 bottoms need 1 times field_h, field_w"),
        (
            'type: "BoxOutput" bottom: "x" box_output_param { field_h: 3 field_w: 3 '
            'downsample_rate: 8 nms_type: "best" }',
            'nms_type: "best" is unknown',
        ),
        (
            'type: "BoxOutput" bottom: "x" box_output_param { field_h: 3 field_w: 3 '
            "downsample_rate: 8 field_whr: 1 }",
            "field_whr 1 above 1",
        ),
        (
            'type: "DetectionLoss" bottom: "x" bottom: "t" detection_loss_param { cls_num: 2 '
            "field_h: 9 field_w: 9 downsample_rate: 8 }",
            r"must be \(N, 6, H, W\), cls_num: 2 classes",
        ),
        (
            'type: "DetectionLoss" bottom: "x" bottom: "t" detection_loss_param { cls_num: 3 '
            "field_h: 9 field_w: 9 downsample_rate: 8 objectness: true }",
            "objectness: true needs cls_num: 2",
        ),
        (
            'type: "DetectionAccuracy" bottom: "x" bottom: "t" detection_accuracy_param { '
            "cls_num: 3 field_h: 9 field_w: 9 downsample_rate: 8 top_k: 4 }",
            "top_k: 4 must be from 1 to cls_num: 3",
        ),
        (
            'type: "BoxOutput" bottom: "x" bbox_reg_param { bbox_mean: 1 bbox_std: 1 } '
            "box_output_param { field_h: 3 field_w: 3 downsample_rate: 8 }",
            "needs 4 times bbox_mean and bbox_std",
        ),
        ('type: "DecodeBBox" bottom: "c" bottom: "r"', r'"c" must be \(3, 8\), 8 values'),
    ],
)
def test_refusals(layer, message):
    with pytest.raises(MinicaffeError, match=message):
        net_from_text(
            """layer { name: "in" type: "Input" top: "x" top: "t" top: "c" top: "r" input_param {
              shape { dim: 2 dim: 7 dim: 4 dim: 5 } shape { dim: 2 dim: 6 dim: 4 dim: 5 }
              shape { dim: 3 dim: 4 } shape { dim: 3 dim: 5 } } }
            layer { name: "a" top: "y" """
            + layer
            + "}"
        )
