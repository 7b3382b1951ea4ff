"""Random parts of images: random_resized_crop and cutout of transform_param."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe.data.augmentation.augmenter import Augmenter
from minicaffe.data.augmentation.random_parts import Part, RandomParts
from minicaffe.data.augmentation.resampling import Interpolation, resample
from minicaffe.data.mean import read_mean
from minicaffe.errors import DataError
from minicaffe.net import Net
from minicaffe.random import RandomStream
from minicaffe.schema import parse_net
from minicaffe.schema.minicaffe_pb2 import TEST, TRAIN, TransformationParameter

IMAGES = Path(__file__).parents[1] / "golden" / "files" / "images"
CROP = "crop_size: 20 random_resized_crop { }"


def augmenter(text, phase=TRAIN):
    return Augmenter(text_format.Parse(text, TransformationParameter()), phase)


def picture(rows=37, columns=52, channels=3):
    return np.random.default_rng(0).integers(1, 256, (channels, rows, columns), np.uint8)


def generators(n):
    return [RandomStream(1, "a", k).generator() for k in range(n)]


def parts(n, areas, aspects, rows=300, columns=400):
    drawn = [RandomParts(areas, aspects).draw_part(rows, columns, g) for g in generators(n)]
    return [part for part in drawn if part is not None]


def test_parts_have_the_areas_and_aspect_ratios():
    found = parts(2000, (0.1, 0.3), (0.5, 2))
    shares = np.array([part.rows * part.columns / 120_000 for part in found])
    logs = np.log2([part.columns / part.rows for part in found])
    assert len(found) == 2000
    # Uniform: the limits, the mean and the standard deviation.
    for values, low, high in ((shares, 0.1, 0.3), (logs, -1, 1)):
        assert low - 0.02 <= values.min() <= low + 0.02
        assert high - 0.02 <= values.max() <= high + 0.02
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
        assert values.std() == pytest.approx((high - low) / math.sqrt(12), rel=0.06)


def test_parts_lie_everywhere_in_the_image():
    found = parts(500, (0.2, 0.2), (1, 1), 30, 40)
    assert {(part.rows, part.columns) for part in found} == {(15, 15)}
    assert {part.top for part in found} == set(range(16))
    assert {part.left for part in found} == set(range(26))


def test_parts_that_do_not_fit_are_drawn_again_or_left():
    assert parts(50, (1, 1), (3, 3)) == []
    found = parts(200, (0.5, 0.8), (0.5, 2))
    assert len(found) == 200
    assert all(part.rows <= 300 and part.columns <= 400 for part in found)


@pytest.mark.parametrize(
    ("aspects", "part"),
    [
        ((0.5, 2), Part(0, 0, 300, 400)),
        ((1, 1), Part(0, 50, 300, 300)),
        ((2, 3), Part(50, 0, 200, 400)),
    ],
)
def test_the_middle(aspects, part):
    assert RandomParts((1, 1), aspects).middle(300, 400) == part


@pytest.mark.parametrize(("size", "crop"), [("crop_size: 20", (20, 20)), ("", (33, 17))])
def test_crops_are_resized_parts(size, crop):
    text = size or "crop_h: 33 crop_w: 17"
    augment = augmenter(f"{text} random_resized_crop {{ }}")
    image = picture()
    expected = []
    for found, again in zip(
        [augment(image, g) for g in generators(40)], generators(40), strict=True
    ):
        part = RandomParts((0.08, 1), (0.75, 4 / 3)).draw_part(37, 52, again)
        assert part is not None
        is_smaller = crop[0] < part.rows and crop[1] < part.columns
        expected.append(is_smaller)
        way = Interpolation.AREA if is_smaller else Interpolation.LINEAR
        np.testing.assert_array_equal(found, resample(image[part.slices], *crop, way))
    assert set(expected) == {False, True}


def test_an_image_without_a_fitting_part_gives_its_middle():
    augment = augmenter(
        "crop_size: 20 random_resized_crop { min_area_ratio: 1 min_aspect_ratio: 1 "
        "max_aspect_ratio: 1 }"
    )
    image = picture(20, 61)
    np.testing.assert_array_equal(augment(image, generators(1)[0]), image[:, :, 20:40])


@pytest.mark.parametrize(
    ("value", "colour"),
    [
        ("", [0, 0, 0]),
        ("value: 200", [200, 200, 200]),
        ("value: [1, 2, 3]", [1, 2, 3]),
    ],
)
def test_cutout_covers_a_rectangle(value, colour):
    augment = augmenter(f"cutout {{ probability: 1 {value} }}")
    image = picture()
    shares = []
    for generator in generators(60):
        found = augment(image, generator)
        differs = (found != image).any(axis=0)
        rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
        inside = found[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (inside == np.array(colour)[:, None, None]).all()
        shares.append(differs.mean())
    assert 0.01 < min(shares) < 0.06
    assert 0.25 < max(shares) < 0.35


@pytest.mark.parametrize(
    ("mean", "value"), [("mean_value: 12.6", 13), ("mean_value: [9, 8, 7]", [9, 8, 7])]
)
def test_cutout_has_the_colour_that_the_net_reads_as_zero(mean, value):
    augment = augmenter(f"cutout {{ probability: 1 }} {mean}")
    found = augment(picture(), generators(1)[0])
    differs = (found != picture()).any(axis=0)
    assert differs.any()
    assert (found[:, differs] == np.broadcast_to(value, 3)[:, None]).all()


def test_cutout_has_the_colour_of_the_mean_file():
    path = next((IMAGES.parent).glob("*.binaryproto"))
    mean = read_mean(str(path))
    image = picture(*mean.shape[1:], mean.shape[0])
    augment = augmenter(f'cutout {{ probability: 1 }} mean_file: "{path}"')
    found = augment(image, generators(1)[0])
    covered = np.rint(mean.mean(axis=(1, 2)))
    differs = (found != image).any(axis=0)
    assert differs.any()
    assert (found[:, differs] == covered[:, None]).all()


def test_cutout_changes_the_share_of_images_that_probability_says():
    augment, image = augmenter("cutout { probability: 0.3 }"), picture()
    n_changed = sum(augment(image, g) is not image for g in generators(400))
    assert n_changed == pytest.approx(0.3 * 400, abs=30)


def test_nothing_happens_in_test():
    assert not augmenter(f"{CROP} cutout {{ }}", TEST)


def test_training_nets_read_parts_and_test_nets_the_centre():
    text = (
        f'layer {{ name: "d" type: "ImageData" top: "x" transform_param {{ {CROP} cutout {{ }} }} '
        f'image_data_param {{ source: "{IMAGES}/list.txt" root_folder: "{IMAGES}/" '
        "batch_size: 3 new_height: 24 new_width: 30 } }"
    )
    for phase in ("TRAIN", "TEST"):
        net = Net(parse_net(text, "net.prototxt"), phase, seed=1)
        net.forward()
        assert net.blobs["x"].shape == (3, 3, 20, 20)
        net.close()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("random_resized_crop { }", "needs crop_size, or crop_h and crop_w"),
        (f"{CROP} multi_scale: true", "random_resized_crop and multi_scale exclude each other"),
        (
            f"{CROP} random_aspect_ratio_param {{ }}",
            "random_resized_crop and random_aspect_ratio_param exclude each other",
        ),
        (
            "crop_size: 9 random_resized_crop { min_area_ratio: 0 }",
            "random_resized_crop: min_area_ratio is 0; it must be positive",
        ),
        (
            "crop_size: 9 random_resized_crop { max_area_ratio: 1.5 }",
            "max_area_ratio is 1.5; a part cannot be larger than the image",
        ),
        (
            "cutout { min_aspect_ratio: 4 }",
            "cutout: aspect_ratio: the lower limit 4 is above the upper one, 3.33333",
        ),
        ("cutout { probability: 2 }", "cutout: probability is 2; it must lie between 0 and 1"),
    ],
)
def test_problems(fields, message):
    with pytest.raises(DataError, match=message):
        augmenter(fields)


def test_values_of_cutout_fit_the_channels():
    augment = augmenter("cutout { value: [1, 2] }")
    with pytest.raises(DataError, match="cutout: 2 values for images of 3 channels"):
        augment(picture(), generators(1)[0])
