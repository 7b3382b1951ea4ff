"""ImageGtData: images with label maps from a window file of MS-CNN."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from minicaffe.errors import MinicaffeError
from minicaffe.layers import layer_class
from minicaffe.schema import LayerParameter
from probe import net_from_text

ROWS, COLUMNS = 96, 128
# Class, ignored, corners; regions to leave out. The last object of the first image is thin.
IMAGES = [
    ([(1, 0, 10, 10, 50, 60), (2, 1, 70, 20, 110, 80), (3, 0, 4, 70, 12, 94)], [(60, 60, 128, 96)]),
    ([(2, 0, 30, 30, 100, 90)], []),
    ([], []),
]
FIELDS = ((8, 40, 30), (16, 80, 60))
SETTINGS = "".join(
    f" downsample_rate: {step} field_h: {height} field_w: {width}" for step, height, width in FIELDS
)


def text_of(images):
    lines = []
    for k, (objects, regions) in enumerate(images):
        lines += [f"# {k}", f"{k}.png", "3", str(ROWS), str(COLUMNS), str(len(objects))]
        lines += [" ".join(map(str, o)) for o in objects]
        lines += [str(len(regions)), *(" ".join(map(str, r)) for r in regions)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(len(IMAGES)):
        Image.fromarray(rng.integers(0, 255, (ROWS, COLUMNS, 3), np.uint8)).save(
            tmp_path / f"{k}.png"
        )
    (tmp_path / "list.txt").write_text(text_of(IMAGES))
    return tmp_path


def make(folder, settings="", tops="data l1 l2 gt", transform="", phase="TEST", **options):
    names = " ".join(f'top: "{name}"' for name in tops.split())
    return net_from_text(
        f"""layer {{ name: "d" type: "ImageGtData" {names} transform_param {{ {transform} }}
        image_gt_data_param {{ source: "{folder}/list.txt" root_folder: "{folder}/"
        output_gt_boxes: true {SETTINGS} {settings} }} }}""",
        phase,
        **options,
    )


def batch(net):
    net.forward()
    return {name: blob.data.get() for name, blob in net.blobs.items()}


def iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def labels_of(objects, regions, field, least):
    """Return the labels of one map, and the best field of each object, by loops."""
    step, height, width = field
    rows, columns = ROWS // step, COLUMNS // step
    labels, best = np.zeros((6, rows, columns)), [0] * len(objects)
    matched = set()
    for i in range(rows):
        for j in range(columns):
            x, y = (j + 0.5) * step, (i + 0.5) * step
            box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
            covered = 0
            for r in regions:
                w, h = min(r[2], box[2]) - max(r[0], box[0]), min(r[3], box[3]) - max(r[1], box[1])
                covered += max(w, 0) * max(h, 0) / (width * height)
            if covered >= 0.4:
                labels[5, i, j] = 1
                continue
            near = [iou(o[2:], box) for o in objects]
            best = [max(pair) for pair in zip(best, near, strict=True)]
            labels[5, i, j] = max(near, default=0)
            if max(near, default=0) > least:
                k = near.index(max(near))
                matched.add(k)
                labels[:5, i, j] = code(objects[k])
                labels[0, i, j] *= not objects[k][1]
    return labels, best, matched


def code(o):
    label, _, x1, y1, x2, y2 = o
    return label, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def test_labels_equal_those_of_a_loop(folder):
    values = batch(make(folder, "batch_size: 3 fg_threshold: 0.45", transform="mean_value: 100"))
    pixels = np.asarray(Image.open(folder / "1.png"), float)[:, :, ::-1]
    np.testing.assert_allclose(values["data"][1], pixels.transpose(2, 0, 1) - 100)
    for n, (objects, regions) in enumerate(IMAGES):
        found = [labels_of(objects, regions, field, 0.45) for field in FIELDS]
        for k, o in enumerate(objects):
            best = [maps[1][k] for maps in found]
            # The thin object of the first image fits no field well.
            if not any(k in maps[2] for maps in found) and not o[1] and max(best) >= 0.2:
                m = best.index(max(best))
                _, x, y, _, _ = code(o)
                place = int(y // FIELDS[m][0]), int(x // FIELDS[m][0])
                found[m][0][(slice(0, 5), *place)] = code(o)
        for name, (labels, _, _) in zip(("l1", "l2"), found, strict=True):
            np.testing.assert_allclose(values[name][n], labels, rtol=1e-5, atol=1e-5)
    assert (values["l1"][0, 0] == 1).any()
    want = [[n, *o[2:], *o[:2]] for n, (objects, _) in enumerate(IMAGES) for o in objects]
    np.testing.assert_allclose(values["gt"][:, :, 0, 0], want)


def test_an_object_that_fits_no_field_is_given_to_the_cell_of_its_center(folder):
    (folder / "list.txt").write_text(text_of([([(3, 0, 50, 30, 68, 48)], []), *IMAGES[1:]]))
    values = batch(make(folder, "batch_size: 1 fg_threshold: 0.5"))
    np.testing.assert_allclose(values["l1"][0, :5, 4, 7], [3, 59, 39, 18, 18])
    assert (values["l1"][0, 0] > 0).sum() == 1
    assert not (values["l2"][0, 0] > 0).any()


def test_small_objects_are_ignored(folder):
    values = batch(make(folder, "batch_size: 2 min_gt_width: 45 fg_threshold: 0.3"))
    assert values["gt"][:, 6, 0, 0].tolist() == [1, 1, 1, 0]
    assert not (values["l1"][0, 0] > 0).any()


def test_a_batch_without_objects_has_one_ignored_box(folder):
    net = make(folder, "batch_size: 1")
    boxes = [batch(net)["gt"] for _ in range(3)]
    assert boxes[2][:, :, 0, 0].tolist() == [[0, 1, 1, 2, 2, 1, 1]]


RANDOM = (
    "batch_size: 2 resize_width: 160 resize_height: 120 crop_width: 96 crop_height: 88 "
    "do_multiple_scale: true min_scale: 30 max_scale: 120 min_whaspect: 0.5 max_whaspect: 2 "
    "shuffle: true fg_img_multiple: 2 fg_threshold: 0.4 "
)


def test_random_crops_and_sizes_keep_boxes_and_pixels_together(folder):
    """Each object is a rectangle of its own colour, which the boxes must find again."""
    for k, (objects, _) in enumerate(IMAGES):
        pixels = np.zeros((ROWS, COLUMNS, 3), np.uint8)
        for label, _, x1, y1, x2, y2 in objects:
            pixels[y1:y2, x1:x2] = 80 * label
        Image.fromarray(pixels).save(folder / f"{k}.png")
    net = make(folder, RANDOM, transform="mirror: true", phase="TRAIN")
    sizes = set()
    for _ in range(30):
        values = batch(net)
        assert values["data"].shape == (2, 3, 88, 96)
        assert values["l1"].shape == (2, 6, 11, 12)
        for image, x1, y1, x2, y2, label, _ in values["gt"][:, :, 0, 0]:
            x, y = int((x1 + x2) // 2), int((y1 + y2) // 2)
            if 0 <= x < 96 and 0 <= y < 88:
                assert values["data"][int(image), 0, y, x] == 80 * label
                sizes.add(round(x2 - x1))
    assert len(sizes) > 10


def test_a_resumed_net_continues(folder):
    net = make(folder, RANDOM, seed=3)
    for _ in range(3):
        net.forward()
    state, want = net.state(), [batch(net) for _ in range(4)]
    other = make(folder, RANDOM, seed=4)
    other.restore(state)
    for values in want:
        found = batch(other)
        for name, array in values.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("settings", "tops", "message"),
    [
        ("", "data l1 l2 gt", "batch_size is missing"),
        ("batch_size: 1 field_h: 3", "data l1 l2 gt", "are 2, 3 and 2"),
        ("batch_size: 1", "data l1 l2", "2 label maps and the boxes need 4 tops; there are 3"),
        ("batch_size: 1 coord_num: 2", "data l1 l2 gt", "coord_num: 2 must be 4"),
    ],
)
def test_refusals(folder, settings, tops, message):
    with pytest.raises(MinicaffeError, match=message):
        make(folder, settings, tops)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# 1", "1", r"list.txt:12: found '1', expected .# INDEX"),
        ("1 0 10 10 50 60", "1 0 10 10 50", r"list.txt:7: .* expected the 6 numbers of object 1"),
        ("1 0 10 10 50 60", "0 0 10 10 50 60", "an object of 0.png has a class below 1"),
        ("2.png", "4.png", "4.png"),
    ],
)
def test_a_wrong_file_is_named(folder, old, new, message):
    path = folder / "list.txt"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(MinicaffeError, match=message):
        batch(make(folder, "batch_size: 3"))


def test_fields_without_effect_are_named():
    param = LayerParameter(type="ImageGtData")
    param.image_gt_data_param.mirror = True
    found = list(layer_class("ImageGtData").unread_settings(param))
    assert found == ["mirror: no effect in ImageGtData; see transform_param."]
