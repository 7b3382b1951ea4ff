"""Layers on score maps and flow: randomness, mean files, messages."""

from __future__ import annotations

import numpy as np
import pytest

from cases.case import Case, distinct, exactly, normal
from minicaffe.errors import NetError
from minicaffe.schema.binary import write_blobproto
from probe import REFERENCE, Probe, make_backend

SCORES = {"x": normal(2, 3, 4, 5), "labels": normal(2, 1, 1, 1)}
SMOOTHED = {"x": normal(2, 3, 4, 5), "edges": normal(2, 1, 4, 5), "sizes": normal(2, 1, 1, 2)}


def test_several_classes_get_their_part_of_the_pixels(backend):
    case = Case(
        "parts",
        "adaptive_bias_channel_param { num_iter: 20 bg_portion: 0.25 fg_portion: 0.25 }",
        {"x": distinct(1, 5, 8, 10), "labels": exactly([[[[0]], [[3]], [[1]]]])},
    )
    probe = Probe("AdaptiveBiasChannel", case, backend)
    y = probe.forward()["y"]
    shares = np.bincount(y[0].argmax(0).ravel(), minlength=5) / 80
    assert shares[[2, 4]].tolist() == [0, 0]
    assert shares[[0, 1, 3]].min() > 0.1
    np.testing.assert_array_equal(probe.forward()["y"], y)


def test_a_mean_image_is_subtracted(tmp_path, backend):
    mean = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    path = tmp_path / "mean.binaryproto"
    write_blobproto(path, mean[None])
    settings = f'mean_param {{ operation: SUBTRACT file: "{path}" input_scale: 2 }}'
    probe = Probe("Mean", Case("file", settings, {"x": normal(5, 2, 3, 4)}), backend)
    inputs = probe.inputs()
    want = 2 * inputs["x"] - mean
    np.testing.assert_allclose(probe.forward(inputs)["y"], want, rtol=1e-5, atol=1e-5)


def test_pixels_from_outside_are_nan_if_asked_for(backend):
    flow = np.zeros((1, 2, 2, 3))
    flow[0, 0, 0, 0] = -1
    case = Case(
        "outside",
        "flow_warp_param { fill_value: NOT_A_NUMBER }",
        {"x": normal(1, 2, 2, 3), "flow": exactly(flow)},
    )
    y = Probe("FlowWarp", case, backend).forward()["y"]
    assert np.isnan(y[0, :, 0, 0]).all()
    assert np.isnan(y).sum() == 2


@pytest.mark.parametrize(
    ("layer_type", "settings", "bottoms", "message"),
    [
        ("BiasChannel", "", {**SCORES, "labels": normal(3, 1, 1, 1)}, r"labels of the 2 images\. "),
        (
            "BiasChannel",
            "bias_channel_param { label_type: PIXEL }",
            SCORES,
            r"one for each of the 4 x 5 pixels",
        ),
        (
            "BiasChannel",
            "bias_channel_param { background_label: 3 }",
            SCORES,
            r"background_label: 3 is not one of the 3",
        ),
        (
            "AdaptiveBiasChannel",
            "adaptive_bias_channel_param { num_iter: 0 }",
            SCORES,
            r"num_iter: 0 must be at least 1",
        ),
        (
            "AdaptiveBiasChannel",
            "adaptive_bias_channel_param { fg_portion: 1.5 }",
            SCORES,
            r"fg_portion: 1.5 must lie between 0 and 1",
        ),
        ("UniqueLabel", "", {"labels": normal(2, 3)}, r"max_labels is missing or 0"),
        (
            "SpatialProduct",
            "",
            {"x": normal(2, 3, 4, 5), "s": normal(2, 3, 4, 5)},
            r'"s" \(N, 1, H, W\); they are',
        ),
        (
            "DomainTransform",
            "",
            {**SMOOTHED, "sizes": normal(2, 1, 1, 3)},
            r"must have rows and columns of 2 images",
        ),
        (
            "DomainTransform",
            "domain_transform_param { range_sigma: 0 }",
            SMOOTHED,
            r"range_sigma: 0 must be above 0",
        ),
        ("FlowWarp", "", {"x": normal(2, 3, 4, 5), "flow": normal(2, 3, 4, 5)}, r"\(N, 2, H, W\)"),
        ("ChannelNorm", "", {"x": normal(5)}, r"must be \(N, C, ...\), it is \(5,\)"),
        ("Mean", "", {"x": normal(2, 3, 4, 5)}, r"operation is missing: ADD or SUBTRACT"),
        (
            "Mean",
            "mean_param { operation: ADD }",
            {"x": normal(2, 3, 4, 5)},
            r"needs `value`, one a channel, or `file`, and not both",
        ),
        (
            "Mean",
            "mean_param { operation: ADD value: 1 value: 2 }",
            {"x": normal(2, 3, 4, 5)},
            r"needs a mean of 3 channels; it is \(2,\)",
        ),
        (
            "Mean",
            'mean_param { operation: ADD file: "no.binaryproto" }',
            {"x": normal(2, 3, 4, 5)},
            r"mean_file no\.binaryproto: no such file",
        ),
        (
            "Accum",
            "accum_param { have_reference: true }",
            {"x": normal(2, 3, 4, 5)},
            r"goes together with have_reference",
        ),
        (
            "Accum",
            "accum_param { top_height: 3 top_width: 9 }",
            {"x": normal(2, 3, 4, 5)},
            r"cannot become \(3, 9\): this type only enlarges",
        ),
        ("Accum", "accum_param { size_divisible_by: 8 }", {"x": normal(2, 3, 4, 5)}, r"set top_h"),
        (
            "Transpose",
            "transpose_param { dim: 1 dim: 1 }",
            {"x": normal(2, 3)},
            r"dim \[1, 1\] must name each of the 2 axes",
        ),
        ("L1Loss", "", {"a": normal(2, 3), "b": normal(2, 4)}, r"\(N, C, ...\), with as many"),
    ],
)
def test_errors_when_the_net_is_built(layer_type, settings, bottoms, message):
    with pytest.raises(NetError, match=r'net\.prototxt:\d+, layer "probe" \(\w+\): .*' + message):
        Probe(layer_type, Case("refused", settings, bottoms), make_backend(REFERENCE))
