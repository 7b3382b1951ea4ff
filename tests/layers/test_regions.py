"""Layers over regions: gradients without a derivative, loss weights by default, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from cases.case import Case, exactly, normal
from minicaffe.errors import LabelError, MinicaffeError
from probe import REFERENCE, Probe, make_backend, net_from_text

SHAPES = {"x": (2, 3, 6, 7), "rois": (4, 5), "z": (2, 3, 6, 7), "w": (2, 3, 6, 7)}


def build(layer, **shapes):
    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {n}" for n in shape)
        + " } } }\n"
        for name, shape in shapes.items()
    )
    return net_from_text(f'{inputs}layer {{ name: "a" {layer} }}')


def test_the_gradient_of_a_corner_moves_the_samples(backend):
    """On the plane 2 row + 3 column every sample moves by 2 or 3 times its share of the corner."""
    rows, columns = np.mgrid[:9, :8]
    case = Case(
        "plane",
        "roi_warping_param { pooled_h: 2 pooled_w: 4 spatial_scale: 0.5 }",
        {"x": exactly((2 * rows + 3 * columns)[None, None]), "rois": exactly([[0, 2, 4, 10, 12]])},
    )
    probe = Probe("ROIWarping", case, backend)
    tops = probe.forward()
    np.testing.assert_allclose(tops["y"][0, 0, :, 0], [2 * 2 + 3, 2 * 4 + 3], rtol=1e-6)
    probe.top_diffs = lambda: {"y": np.ones((1, 1, 2, 4))}
    # Columns are at 0, 1/4, 1/2, 3/4 of the region, rows at 0 and 1/2; there are 8 samples.
    want = [0, 3 * 8 * (1 - 0.375) / 2, 2 * 8 * 0.75 / 2, 3 * 8 * 0.375 / 2, 2 * 8 * 0.25 / 2]
    np.testing.assert_allclose(probe.backward()["rois"][0], want, rtol=1e-5)


@pytest.mark.parametrize(
    ("bottoms", "settings", "weight"),
    [
        ("x z", "", 1),
        ("x z", "smooth_l1_loss_param { sigma: 1 }", 0),
        ("x z w w", "", 0),
        ("x z w w", "loss_weight: 2", 2),
    ],
)
def test_smooth_l1_trains_by_default_only_as_in_ssd(bottoms, settings, weight):
    names = bottoms.split()
    wires = " ".join(f'bottom: "{name}"' for name in names)
    net = build(
        f'type: "SmoothL1Loss" {wires} top: "loss" {settings}', **{n: SHAPES[n] for n in set(names)}
    )
    assert net.loss_weights().get("loss", 0) == weight


def test_regions_that_depend_on_weights_get_no_gradient():
    """As in a Faster R-CNN, where the regions come from layers that learn."""
    text = """
    layer { name: "in" type: "Input" top: "x" top: "v"
            input_param { shape { dim: 1 dim: 2 dim: 6 dim: 7 } shape { dim: 1 dim: 3 } } }
    layer { name: "c" type: "Convolution" bottom: "x" top: "map"
            convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
    layer { name: "r" type: "InnerProduct" bottom: "v" top: "rois"
            inner_product_param { num_output: 5 } }
    layer { name: "pool" type: "ROIPooling" bottom: "map" bottom: "rois" top: "y"
            roi_pooling_param { pooled_h: 2 pooled_w: 2 } }
    layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }
    """
    net = net_from_text(text, backend=make_backend(REFERENCE))
    net.blobs["x"].data.set(np.random.default_rng(0).standard_normal((1, 2, 6, 7)))
    net.forward()
    net.blobs["rois"].diff.set(np.nan)
    net.backward()
    assert not net.blobs["rois"].diff.get().any()
    assert net.blobs["map"].diff.get().any()


def test_a_region_of_no_image_is_an_error():
    case = Case(
        "wrong",
        "roi_pooling_param { pooled_h: 2 pooled_w: 2 }",
        {"x": normal(2, 3, 6, 7), "rois": exactly([[0, 1, 1, 3, 3], [2, 1, 1, 3, 3]])},
    )
    with pytest.raises(LabelError, match=r"image number 2 of sample 1 .* from 0 to 1"):
        Probe("ROIPooling", case, make_backend(REFERENCE)).forward()


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        ('type: "ROIPooling" bottom: "x" bottom: "rois" top: "y"', {}, "pooled_h: 0 pooled_w: 0"),
        (
            'type: "ROIPooling" bottom: "x" bottom: "rois" top: "y" '
            "roi_pooling_param { pooled_size: 2 pooled_h: 2 }",
            {},
            "sets the number of bins twice",
        ),
        (
            'type: "ROIPooling" bottom: "x" bottom: "rois" top: "y" '
            "roi_pooling_param { pooled_h: 2 pooled_w: 2 }",
            {"rois": (4, 4)},
            r'bottom "rois", the regions, must be \(R, 5\)',
        ),
        (
            'type: "PSROIPooling" bottom: "x" bottom: "rois" top: "y" '
            "psroi_pooling_param { spatial_scale: 1 output_dim: 2 group_size: 3 }",
            {},
            r"must have output_dim \* group_size\^2 = 18 channels, it has 3",
        ),
        (
            'type: "PSROIPooling" bottom: "x" bottom: "rois" top: "y" '
            "psroi_pooling_param { spatial_scale: 1 output_dim: 2 }",
            {},
            r"group_size } must be above 0, it is 0",
        ),
        (
            'type: "SmoothL1Loss" bottom: "x" bottom: "z" bottom: "w" top: "y"',
            {},
            "three bottoms; give two, or four",
        ),
        (
            'type: "SmoothL1LossOHEM" bottom: "x" bottom: "z" top: "y" '
            "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 0 }",
            {},
            "pre_fixed_normalizer: 0 must be more than 0",
        ),
        (
            'type: "SmoothL1LossOHEM" bottom: "x" bottom: "z" top: "y"',
            {"z": (2, 3, 6, 6)},
            "must have as many values a sample",
        ),
        (
            'type: "BoxAnnotatorOHEM" bottom: "rois" bottom: "x" bottom: "z" bottom: "w" '
            'top: "y" top: "u"',
            {},
            "roi_per_img } is missing or 0",
        ),
    ],
)
def test_refusals(layer, shapes, message):
    used = {n: s for n, s in {**SHAPES, **shapes}.items() if f'bottom: "{n}"' in layer}
    with pytest.raises(MinicaffeError, match=message):
        build(layer, **used)
