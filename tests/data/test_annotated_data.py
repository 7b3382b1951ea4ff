"""AnnotatedData, and resize_param on other layers.

The batches in tests/golden/data_forks are those of SSD (4817bf8b) and MobileNet-YOLO (69b4441), of
the databases in tests/golden/annotated and tests/golden/files.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from minicaffe.data.annotations.annotated_datum import encode_annotated_datum
from minicaffe.data.annotations.object_box import ObjectBox
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.errors import DataError, LabelError, NetError
from minicaffe.layers import layer_class
from minicaffe.net.net import Net
from probe import net_from_text

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted((GOLDEN / "data_forks").glob("*.npz"))
PAD = "resize_mode: FIT_LARGE_SIZE_AND_PAD"
RANDOM = """
transform_param {
  mirror: true mean_value: 104 mean_value: 117 mean_value: 123 crop_size: 40
  resize_param { prob: 0.7 height: 44 width: 60 interp_mode: LINEAR interp_mode: AREA
                 interp_mode: NEAREST interp_mode: CUBIC interp_mode: LANCZOS4 }
  resize_param { prob: 0.3 resize_mode: FIT_LARGE_SIZE_AND_PAD height: 52 width: 52
                 pad_mode: MIRRORED }
  distort_param { brightness_prob: 0.5 brightness_delta: 32 contrast_prob: 0.5 contrast_lower: 0.5
                  contrast_upper: 1.5 hue_prob: 0.5 hue_delta: 18 saturation_prob: 0.5
                  saturation_lower: 0.5 saturation_upper: 1.5 random_order_prob: 0.3 }
  expand_param { prob: 0.5 max_expand_ratio: 2 }
  noise_param { prob: 0.5 gauss_blur: true hist_eq: true clahe: true posterize: true inverse: true
                erode: true jpeg: 60 saltpepper: true
                saltpepper_param { fraction: 0.05 value: 255 } }
  emit_constraint { emit_type: CENTER }
}
annotated_data_param {
  batch_sampler { max_sample: 1 max_trials: 1 }
  batch_sampler { sampler { min_scale: 0.3 min_aspect_ratio: 0.5 max_aspect_ratio: 2 }
                  sample_constraint { min_jaccard_overlap: 0.3 } max_sample: 1 max_trials: 50 }
}
"""


@pytest.fixture
def files(golden_files):
    """The golden files, with those of annotated images beside them."""
    shutil.copytree(GOLDEN / "annotated", golden_files / "annotated")
    return golden_files


def layer_text(source, settings="", kind="AnnotatedData", batch_size=2):
    return (
        f'layer {{ name: "data" type: "{kind}" top: "data" top: "label" '
        f'data_param {{ source: "{source}" batch_size: {batch_size} backend: LMDB }} {settings} }}'
    )


def batches(net: Net, n: int):
    """Return data and labels of the next batches."""
    found = []
    for _ in range(n):
        net.forward()
        found.append([net.blobs[name].data.get() for name in ("data", "label")])
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_batches_equal_those_of_the_forks(path, files):
    with np.load(path) as file:
        case = dict(file)
    is_annotated = "AnnotatedData" in str(case["prototxt"])
    root = files / "annotated" if is_annotated else files
    text = str(case["prototxt"]).replace("FILES", str(root))
    net = net_from_text(text, str(case["phase"]), backend=None)
    scale = float(re.search(r"[^_]scale: ([0-9.]+)|$", text).group(1) or 1)
    for i in range(sum(key.endswith(".data") for key in case)):
        net.forward()
        label = net.blobs["label"].data.get()
        np.testing.assert_allclose(label, case[f"batch.{i}.label"], atol=1e-6)
        # Resized values may be one grey level off where a sum is rounded.
        off = np.abs(net.blobs["data"].data.get() - case[f"batch.{i}.data"]) / scale
        assert off.max() < 1.01
        assert (off > 1e-3).mean() < 0.01


def test_a_restored_net_goes_on_with_the_same_batches(files):
    text = layer_text(files / "annotated" / "db_xml_png", RANDOM)
    net = net_from_text(text)
    batches(net, 2)
    state = net.state()
    want = batches(net, 3)
    resumed = net_from_text(text, seed=99)
    resumed.restore(state)
    for got, expected in zip(batches(resumed, 3), want, strict=True):
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_records_are_shuffled_anew_in_each_round(files):
    text = layer_text(files / "annotated" / "db_xml_resized", batch_size=6)
    text = text.replace("backend: LMDB", "backend: LMDB shuffle: true")
    net = net_from_text(text)
    first, second = (data for data, _ in batches(net, 2))
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(np.sort(first.sum((1, 2, 3))), np.sort(second.sum((1, 2, 3))))


def test_what_is_random_stays_an_image_with_boxes(files):
    net = net_from_text(layer_text(files / "annotated" / "db_xml_png", RANDOM, batch_size=3))
    sizes = set()
    for data, label in batches(net, 12):
        assert data.shape == (3, 3, 40, 40)
        rows = label[0, 0]
        sizes.add(len(rows))
        if rows[0, 0] == -1:
            assert len(rows) == 1
            continue
        boxes = rows[:, 3:7]
        assert set(rows[:, 0]) <= {0, 1, 2}
        assert boxes.min() >= 0
        assert boxes.max() <= 1
        assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert len(sizes) > 1


def squares(path, n=4, color=True):
    """Write images with one white square each, and its box."""
    rng = np.random.default_rng(4)
    with create_database(str(path), "LMDB") as database:
        for i in range(n):
            image = np.zeros((3 if color else 1, 60, 80), np.uint8)
            top, left, side = rng.integers(0, 30), rng.integers(0, 40), rng.integers(16, 30)
            image[:, top : top + side, left : left + side] = 255
            sides = (left / 80, top / 60, (left + side) / 80, (top + side) / 60)
            value = encode_annotated_datum(encode_datum(image, -1), [ObjectBox(1 + i, sides)])
            database.put(b"%08d" % i, value)
    return path


@pytest.mark.parametrize(
    "settings",
    [
        "transform_param { mirror: true }",
        "transform_param { crop_h: 50 crop_w: 60 mirror: true }",
        "transform_param { resize_param { height: 90 width: 70 } }",
        f"transform_param {{ resize_param {{ {PAD} height: 90 width: 70 }} }}",
        f"transform_param {{ resize_param {{ {PAD} height: 60 width: 140 }} }}",
        "transform_param { resize_param { resize_mode: FIT_SMALL_SIZE height: 90 width: 70 } }",
        f"transform_param {{ resize_param {{ {PAD} multiscale: true min_sz: 60 max_sz: 90 }} }}",
        "transform_param { expand_param { prob: 1 max_expand_ratio: 3 } }",
        "annotated_data_param { batch_sampler { sampler { min_scale: 0.5 min_aspect_ratio: 0.7 "
        "max_aspect_ratio: 1.4 } sample_constraint { min_object_coverage: 0.5 } max_sample: 1 } }",
        "annotated_data_param { yolo_data_jitter: 0.4 }",
    ],
)
def test_boxes_follow_what_they_contain(settings, tmp_path):
    net = net_from_text(layer_text(squares(tmp_path / "db"), settings, batch_size=1))
    for data, label in batches(net, 12):
        image, rows = data[0, 0], label[0, 0]
        white = image > 127
        if rows[0, 0] == -1:
            assert white.sum() < 20
            continue
        height, width = image.shape
        ys, xs = np.nonzero(white)
        found = xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height
        np.testing.assert_allclose(rows[0, 3:7], found, atol=1.6 / min(height, width))


def test_parts_meet_a_constraint(tmp_path):
    settings = (
        "annotated_data_param { batch_sampler { sampler { min_scale: 0.2 max_scale: 0.6 } "
        "sample_constraint { min_object_coverage: 1 } max_sample: 1 max_trials: 100 } }"
    )
    net = net_from_text(layer_text(squares(tmp_path / "db"), settings, batch_size=1))
    whole = 0
    for data, label in batches(net, 12):
        if data.shape[2:] != (60, 80):
            white = (data[0, 0] > 127).sum()
            sides = label[0, 0, 0, 3:7]
            assert abs(white - (sides[2:] - sides[:2]).prod() * data[0, 0].size) < 80
            whole += 1
    assert whole > 3


@pytest.mark.parametrize(
    ("constraint", "kept"),
    [
        ("", [1, 2, 3]),
        ("emit_constraint { }", [1, 2]),
        ("emit_constraint { emit_type: MIN_OVERLAP emit_overlap: 0.45 }", [1, 2, 3]),
        ("emit_constraint { emit_type: MIN_OVERLAP emit_overlap: 0.6 }", [1]),
    ],
)
def test_boxes_that_stay_in_a_crop(constraint, kept, tmp_path):
    """The crop is the middle half along x; boxes lie in it, half of one and less of another."""
    boxes = [(0.3, 0.1, 0.6, 0.9), (0.145, 0.1, 0.36, 0.9), (0.14, 0.1, 0.3498, 0.9)]
    with create_database(str(tmp_path / "db"), "LMDB") as database:
        objects = [ObjectBox(k + 1, box) for k, box in enumerate(boxes)]
        value = encode_annotated_datum(encode_datum(np.zeros((3, 40, 80), np.uint8), -1), objects)
        database.put(b"0", value)
    text = layer_text(
        tmp_path / "db", f"transform_param {{ crop_h: 40 crop_w: 40 {constraint} }}", batch_size=1
    )
    ((_, label),) = batches(net_from_text(text, "TEST"), 1)
    assert list(label[0, 0, :, 1]) == kept
    np.testing.assert_allclose(label[0, 0, 0, 3:7], (0.1, 0.1, 0.7, 0.9), atol=1e-6)


def test_labels_of_yolo(files):
    source = files / "annotated" / "db_xml_png"
    for phase, is_random in (("TRAIN", True), ("TEST", False)):
        text = layer_text(
            source,
            "transform_param { resize_param { height: 30 width: 40 } } "
            "annotated_data_param { yolo_data_type: 1 train_diffcult: false }",
        )
        first, second = (batches(net_from_text(text, phase, seed=s), 1)[0] for s in (1, 2))
        assert first[1].shape == (2, 1, 300, 5)
        assert np.array_equal(first[0], second[0]) != is_random


def test_records_with_labels_only(tmp_path, files):
    with create_database(str(tmp_path / "db"), "LMDB") as database:
        for i in range(3):
            image = np.full((3, 5, 6), i, np.uint8)
            value = encode_annotated_datum(encode_datum(image, 7 + i), None)
            database.put(b"%d" % i, value)
    net = net_from_text(layer_text(tmp_path / "db", batch_size=3))
    assert net.blobs["label"].shape == (3,)
    ((_, label),) = batches(net, 1)
    np.testing.assert_array_equal(label, [7, 8, 9])


def test_a_wrong_class_names_its_record(tmp_path):
    text = layer_text(squares(tmp_path / "db")) + (
        'layer { name: "in" type: "Input" top: "loc" top: "conf" top: "prior" input_param { '
        "shape { dim: 2 dim: 8 } shape { dim: 2 dim: 6 } shape { dim: 1 dim: 2 dim: 8 } } }"
        'layer { name: "loss" type: "MultiBoxLoss" bottom: "loc" bottom: "conf" bottom: "prior" '
        'bottom: "label" top: "loss" multibox_loss_param { num_classes: 3 } }'
    )
    net = net_from_text(text)
    net.forward()
    message = r"label 3 of sample 0 in the batch is not a class of objects.*key '00000002' of .*db"
    with pytest.raises(LabelError, match=message):
        net.forward()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("transform_param { resize_param { height: 5 } }", "width: 0; both must be given"),
        ("transform_param { resize_param { max_angle: 3 } }", "max_angle is not implemented"),
        (
            "transform_param { resize_param { multiscale: true } }",
            "min_sz: 0 and max_sz: 0 must as",
        ),
        ("transform_param { crop_size: 5 crop_h: 3 crop_w: 3 }", "crop_size and crop_h and crop_w"),
        ("transform_param { crop_h: 3 }", r"crop_h given; the crop is given by crop_size, or by"),
        (
            "transform_param { crop_size: 61 }",
            "key '00000000'.*crop_size 61 is larger than the image",
        ),
        (
            "transform_param { expand_param { max_expand_ratio: 0.5 } }",
            "max_expand_ratio: 0.5 must",
        ),
        ("transform_param { distort_param { hue_prob: 2 } }", "hue_prob: 2 is not a probability"),
        (
            "transform_param { distort_param { contrast_prob: 1 contrast_lower: 2 } }",
            "contrast_lower: 2 must be 0 or more, and contrast_upper: 0 at least as much",
        ),
        (
            "transform_param { noise_param { convert_to_lab: true } }",
            "convert_to_lab is not implemented",
        ),
        ("transform_param { noise_param { saltpepper: true } }", "saltpepper needs saltpepper_par"),
        (
            "transform_param { emit_constraint { emit_type: MIN_OVERLAP } }",
            "MIN_OVERLAP needs emit_overlap",
        ),
        (
            "annotated_data_param { batch_sampler { sampler { min_scale: 0 } } }",
            "batch_sampler 0: min_scale: 0 and max_scale: 1 must ascend",
        ),
        (
            "annotated_data_param { batch_sampler { sampler { max_aspect_ratio: 0.5 } } }",
            "min_aspect_ratio: 1 and max_aspect_ratio: 0.5 must ascend",
        ),
        (
            "transform_param { mean_value: 1 mean_value: 2 }",
            "2 mean_values for images of 3 channel",
        ),
    ],
)
def test_settings_that_make_no_sense(settings, message, tmp_path):
    with pytest.raises(NetError, match=rf'net\.prototxt:1, layer "data" .*{message}'):
        net_from_text(layer_text(squares(tmp_path / "db"), settings))


def test_other_annotations_are_refused(tmp_path):
    with pytest.raises(NetError, match=r"anno_type \} must be BBOX"):
        net_from_text(layer_text(tmp_path, "annotated_data_param { anno_type: LANE }"))
    with pytest.raises(NetError, match=r"yolo_data_type: 2; it is 0 \(SSD's labels\) or 1"):
        net_from_text(layer_text(tmp_path, "annotated_data_param { yolo_data_type: 2 }"))


def test_images_of_several_sizes(files):
    text = layer_text(files / "annotated" / "db_xml_png")
    net = net_from_text(text)
    message = (
        r"key '00000001_im1\.png': the image is 3 x 60 x 45 .*Use resize_param in transform_para"
    )
    with pytest.raises(DataError, match=message):
        net.forward()


def test_a_database_of_other_records(files):
    with pytest.raises(NetError, match=r"bytes that are not an AnnotatedDatum.*convert_annoset"):
        net_from_text(layer_text(files / "db_raw_lmdb"))


def test_fields_without_effect():
    unread = {
        kind: " ".join(
            layer_class(kind).unread_settings(
                net_param_layer(
                    f'type: "{kind}" transform_param {{ resize_param {{ }} expand_param {{ }} '
                    "min_side: 3 } annotated_data_param { label_map_file: 'a' seg_scales: 2 }"
                )
            )
        )
        for kind in ("Data", "AnnotatedData")
    }
    assert "transform_param.expand_param has no effect, because Data does not" in unread["Data"]
    assert "annotated_data_param has no effect, because Data does not read it" in unread["Data"]
    assert "min_side has no effect, because AnnotatedData does not" in unread["AnnotatedData"]
    assert "annotated_data_param.seg_scales has no effect" in unread["AnnotatedData"]
    assert all("resize_param" not in text for text in unread.values())
    assert "expand_param" not in unread["AnnotatedData"]


def net_param_layer(text):
    from minicaffe.schema import parse_net

    return parse_net(f'layer {{ name: "l" top: "data" {text} }}', "net.prototxt").param.layer[0]
