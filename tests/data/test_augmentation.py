"""Augmentation by the fields of transform_param that forks of Caffe added."""

import json
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe.data.augmentation import AUGMENTATION_FIELDS
from minicaffe.data.augmentation.augmenter import Augmenter
from minicaffe.data.augmentation.resampling import Interpolation, resample
from minicaffe.data.batches import ImageBatches
from minicaffe.data.records.image_list import ImageFiles, ImageListRecords
from minicaffe.data.transformer import DataTransformer, RowDraws
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError
from minicaffe.net import Net
from minicaffe.random import RandomStream
from minicaffe.schema import parse_net
from minicaffe.schema.minicaffe_pb2 import TEST, TRAIN, TransformationParameter

IMAGES = Path(__file__).parents[1] / "golden" / "files" / "images"
N = 60  # draws


def param(text):
    return text_format.Parse(text, TransformationParameter())


def picture(rows=37, columns=52, channels=3):
    return np.random.default_rng(0).integers(0, 256, (channels, rows, columns), np.uint8)


def changed(text, image=None, phase=TRAIN, n=N):
    """Return n changed copies of an image."""
    augment = Augmenter(param(text), phase)
    image = picture() if image is None else image
    before = image.copy()
    found = [augment(image, RandomStream(1, "a", k).generator()) for k in range(n)]
    np.testing.assert_array_equal(image, before)
    assert all(one.dtype == np.uint8 for one in found)
    return found


def sizes(found):
    return {one.shape[1:] for one in found}


@pytest.mark.parametrize("size", [(37, 20), (90, 61), (18, 26), (40, 20)])
@pytest.mark.parametrize("interpolation", Interpolation, ids=lambda i: i.name)
def test_interpolations_are_those_of_opencv(interpolation, size):
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless, of the dev extra")
    image = picture()
    flag = getattr(cv2, f"INTER_{interpolation.name}")
    want = cv2.resize(image.transpose(1, 2, 0), size[::-1], interpolation=flag).transpose(2, 0, 1)
    got = resample(image, *size, interpolation)
    off = np.abs(got.astype(int) - want)
    exact = interpolation in (Interpolation.NEAREST, Interpolation.LINEAR)
    assert off.max() <= (0 if exact else 1)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_the_short_side_gets_a_random_length(phase):
    found = changed("random_resize_param { min_size: 20 max_size: 22 }", phase=phase)
    assert sizes(found) == {(20, 28), (21, 29), (22, 30)}
    tall = changed("random_resize_param { min_size: 8 max_size: 8 }", picture(52, 37), phase)
    assert sizes(tall) == {(11, 8)}
    assert sizes(changed("min_side: 11", phase=phase)) == {(11, 15)}
    assert sizes(changed("min_side_min: 5 min_side_max: 6", phase=phase)) == {(5, 7), (6, 8)}


def test_random_aspect_cuts_out_parts_and_resizes_them():
    text = (
        "crop_size: 16 random_aspect_ratio_param { min_area_ratio: 0.1 aspect_ratio_change: 0.5 }"
    )
    found = changed(text, np.broadcast_to(np.arange(37, dtype=np.uint8)[:, None], (1, 37, 52)))
    assert sizes(found) == {(16, 16)}
    spans = [int(one.max()) - int(one.min()) for one in found]
    assert min(spans) < 15
    assert max(spans) > 28
    none_fits = text.replace("min_area_ratio: 0.1", "min_area_ratio: 1 max_attempt: 1")
    assert (16, 22) in sizes(changed(none_fits))


def test_nvcaffes_stretching():
    text = "img_rand_resize_lower: 20 img_rand_resize_upper: 22 "
    assert sizes(changed(text)) == {(20, 28), (21, 30), (22, 31)}
    ratio = "img_rand_resize_lower: 20 img_rand_resize_upper: 20 rand_resize_ratio_lower: 1 "
    widths = {columns for _, columns in sizes(changed(ratio + "rand_resize_ratio_upper: 2"))}
    assert min(widths) < 25
    assert max(widths) > 35
    stretch = "vertical_stretch_lower: 0.5 vertical_stretch_upper: 1.5"
    heights = {rows for rows, columns in sizes(changed(stretch)) if columns == 52}
    assert min(heights) < 25
    assert max(heights) == 37  # not larger than the image
    assert max(rows for rows, _ in sizes(changed(stretch + " allow_upscale: true"))) > 45
    assert min(min(size) for size in sizes(changed(stretch + " crop_size: 30"))) >= 30


def test_rotation_keeps_the_size_and_the_middle():
    image = picture(41, 41)
    found = changed("max_rotation_angle: 30", image)
    assert sizes(found) == {(41, 41)}
    assert all(abs(int(one[0, 20, 20]) - int(image[0, 20, 20])) <= 1 for one in found)
    assert len({one.tobytes() for one in found}) > 20


def test_scaling_by_two_factors():
    text = "min_scaling_factor: 0.5 max_scaling_factor: 2 crop_size: 30"
    found = sizes(changed(text))
    assert (37, 52) in found  # half of them
    assert min(min(size) for size in found) >= 30
    assert max(columns for _, columns in found) > 80
    always = sizes(changed(text + " apply_probability: 1"))
    assert len(always) > len(found)


@pytest.mark.parametrize(
    "text",
    [
        "max_color_shift: 20",
        "contrast_brightness_adjustment: true min_contrast: 0.5 max_brightness_shift: 30",
        "smooth_filtering: true max_smooth: 8",
    ],
)
def test_photometric_changes_keep_the_size_and_happen_in_training_only(text):
    image = picture()
    found = changed(text, image)
    unchanged = sum(np.array_equal(one, image) for one in found)
    assert 0.25 * N < unchanged < 0.85 * N
    assert sizes(found) == {(37, 52)}
    assert all(np.array_equal(one, image) for one in changed(text, image, TEST))
    off = changed(text + " enable_classf_aug: false", image)
    assert all(np.array_equal(one, image) for one in off)


def test_colour_shift_saturates_and_moves_channels_alike_in_sign():
    grey = np.full((3, 4, 5), 250, np.uint8)
    for one in changed("max_color_shift: 40 apply_probability: 1", grey):
        assert (one == one[:, :1, :1]).all()
        difference = one[:, 0, 0].astype(int) - 250
        assert (difference >= 0).all() or (difference <= 0).all()


def test_smoothing_keeps_the_mean():
    image = picture()
    for one in changed("smooth_filtering: true apply_probability: 1", image):
        assert abs(one.mean() - image.mean()) < 3
        assert one.std() <= image.std() + 1e-9


def test_corner_crops():
    rows, columns = np.mgrid[:24, :36]
    image = np.stack([rows, columns]).astype(np.uint8)
    places = {tuple(one[:, 0, 0]) for one in changed("crop_size: 16 fix_crop: true", image, n=99)}
    assert places == {(0, 0), (0, 20), (8, 0), (8, 20), (4, 10)}
    more = changed("crop_size: 16 fix_crop: true more_fix_crop: true", image, n=200)
    assert len({tuple(one[:, 0, 0]) for one in more}) == 13
    scales = changed("crop_size: 16 multi_scale: true max_distort: 0 scale_ratios: 0.5", image)
    assert sizes(scales) == {(16, 16)}
    assert {int(one[0].max()) - int(one[0].min()) for one in scales} == {11}
    assert sizes(changed("crop_size: 16 multi_scale: true", image, TEST)) == {(24, 36)}


def test_channels_and_padding():
    image = picture()
    np.testing.assert_array_equal(changed("bgr2rgb: true", image, TEST)[0], image[::-1])
    padded = changed("pad: 3", image)[0]
    assert padded.shape == (3, 43, 58)
    np.testing.assert_array_equal(padded[:, 3:-3, 3:-3], image)
    assert not Augmenter(param("pad: 3"), TEST)


def test_mirrored_flow_changes_its_sign():
    image = picture(4, 5, channels=4)
    for text, channels in (("is_flow: true", [0, 2]), ("flow: true", [0])):
        transformer = DataTransformer(param(f"{text} mirror: true"), TEST)
        want = image[:, :, ::-1].astype(np.float32)
        want[channels] = 255 - want[channels]
        kinds = set()
        for k in range(12):
            got = transformer([image], RowDraws.of_all(RandomStream(1, "a", k).generator(), 1))[0]
            is_mirrored = np.array_equal(got, want)
            assert is_mirrored or np.array_equal(got, image)
            kinds.add(is_mirrored)
        assert kinds == {True, False}


REFUSED = [
    ("random_resize_param { min_size: 9 max_size: 8 }", "lower limit 9 is above the upper one, 8"),
    ("random_aspect_ratio_param { }", "random_aspect_ratio_param needs crop_size"),
    (
        "crop_size: 8 random_aspect_ratio_param { aspect_ratio_change: 0 }",
        "aspect_ratio_change 0 must be positive",
    ),
    ("img_rand_resize_lower: 3", "give img_rand_resize_lower and img_rand_resize_upper"),
    ("rand_resize_ratio_lower: 0.5 rand_resize_ratio_upper: 2", "rand_resize_ratio_lower is 0.5"),
    ("min_side_min: 3", "min_side: the lower limit 3 is above the upper one, 0"),
    (
        "contrast_brightness_adjustment: true min_contrast: 2",
        "contrast: the lower limit 2 is above",
    ),
    ("multi_scale: true", "multi_scale needs crop_size"),
    (
        "multi_scale: true crop_size: 3 scale_ratios: 1.5",
        "scale_ratios 1.5: a part cannot be larger",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_contradictions_are_refused(text, message):
    with pytest.raises(DataError, match=message):
        Augmenter(param(text), TRAIN)


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="crop_size 50 is larger than the image, 37 x 52"):
        changed("crop_size: 50 fix_crop: true")
    with pytest.raises(DataError, match="works on images of bytes; these are float32"):
        changed("pad: 1", picture().astype(np.float32))


TEXT = (
    "crop_size: 20 mirror: true random_resize_param { min_size: 20 max_size: 40 } "
    "max_rotation_angle: 9 max_color_shift: 9 smooth_filtering: true "
    "random_resized_crop { } cutout { }"
)


def batches(threads=1):
    stream = RandomStream(7, "data")
    records = ImageListRecords(ImageFiles(str(IMAGES / "list.txt"), f"{IMAGES}/"), stream)
    transformer, augment = DataTransformer(param(TEXT), TRAIN), Augmenter(param(TEXT), TRAIN)
    return ImageBatches(records, BatchRows(4), transformer, stream, threads, augment)


def test_batches_are_the_same_with_any_number_of_threads_and_after_a_restart():
    source, other = batches(1), batches(3)
    for _ in range(3):
        np.testing.assert_array_equal(source.next().tops[0], other.next().tops[0])
    position = json.loads(json.dumps(source.position()))
    wanted = [source.next().tops[0] for _ in range(3)]
    other.restore(position)
    for want in wanted:
        np.testing.assert_array_equal(other.next().tops[0], want)
    assert len({want.tobytes() for want in wanted}) == 3
    source.close()
    other.close()


def net_of(transform, phase):
    text = (
        f'layer {{ name: "d" type: "ImageData" top: "x" transform_param {{ {transform} }} '
        f'image_data_param {{ source: "{IMAGES}/list.txt" root_folder: "{IMAGES}/" '
        "batch_size: 3 } }"
    )
    return Net(parse_net(text, "net.prototxt"), phase, seed=1)


def test_layers_augment():
    net = net_of("crop_size: 12 random_resize_param { min_size: 12 max_size: 12 }", "TEST")
    net.forward()
    assert net.blobs["x"].shape == (3, 3, 12, 12)
    net.close()


def test_fields_of_other_types_are_named(caplog_minicaffe):
    net_of("crop_size: 12 scale_factors: 2", "TRAIN").close()
    assert any(
        "transform_param.scale_factors has no effect" in m for m in caplog_minicaffe.messages
    )


def test_the_fields_exist():
    assert set(TransformationParameter.DESCRIPTOR.fields_by_name) >= AUGMENTATION_FIELDS
