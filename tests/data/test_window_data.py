import json
import re
from pathlib import Path

import numpy as np
import pytest

from minicaffe.data.image import read_image
from minicaffe.data.pixels.resizing import resize
from minicaffe.data.records.window_crop import CropBox, Cropper
from minicaffe.data.records.window_file import read_window_file
from minicaffe.errors import DataError, NetError
from minicaffe.net import Net
from minicaffe.schema import parse_net
from minicaffe.schema.minicaffe_pb2 import BlobProto, BlobShape

GOLDEN = Path(__file__).parents[1] / "golden"

IMAGES = GOLDEN / "files" / "images"
NAMES = ("a/img0.png", "b/img1.jpg")
IMAGE = np.arange(3 * 40 * 50).reshape(3, 40, 50).astype(np.uint8)


def window_text(*windows, name=NAMES[0], index=0, channels=3):
    _, rows, columns = read_image(IMAGES / name).shape
    lines = [f"# {index}", name, channels, rows, columns, len(windows), *windows]
    return "\n".join(map(str, lines)) + "\n"


@pytest.fixture
def source(tmp_path):
    """A window file: three objects of classes 1, 2, 3, three boxes of background, one neither."""
    path = tmp_path / "windows.txt"
    path.write_text(
        window_text("1 0.9 2 3 9 8", "2 0.5 0 0 11 9", "7 0.1 4 4 12 9", "0 0.0 1 1 8 8")
        + window_text("3 1.0 5 2 14 11", "5 0.4 0 0 5 5", "4 0.29 3 3 9 9", name=NAMES[1], index=1)
    )
    return path


def window_net(source, settings="batch_size: 8", transform="crop_size: 7", seed=1):
    text = (
        'layer { name: "data" type: "WindowData" top: "data" top: "label" window_data_param { '
        f'source: "{source}" root_folder: "{IMAGES}/" {settings} }} '
        f"transform_param {{ {transform} }} }}"
    )
    return Net(parse_net(text, "net.prototxt"), "TRAIN", seed=seed)


def forward(net):
    net.forward()
    return net.blobs["data"].data.get(), net.blobs["label"].data.get()


def expected(name, x1, y1, x2, y2, size=7):
    return resize(read_image(IMAGES / name)[:, y1 : y2 + 1, x1 : x2 + 1], size, size)


def test_window_files_are_parsed(source):
    windows = read_window_file(str(source))
    assert [(image.path, image.line) for image in windows.images] == [(NAMES[0], 2), (NAMES[1], 12)]
    assert windows.owner.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert windows.label.tolist() == [1, 2, 7, 0, 3, 5, 4]
    assert windows.overlap.tolist() == pytest.approx([0.9, 0.5, 0.1, 0, 1, 0.4, 0.29])
    assert windows.box[4].tolist() == [5, 2, 14, 11]


@pytest.mark.parametrize("cached", ["false", "true"])
def test_batches_mix_background_and_objects(source, cached):
    net = window_net(
        source,
        f"batch_size: 9 fg_fraction: 0.4 bg_threshold: 0.3 cache_images: {cached}",
        "crop_size: 7 mean_value: 10 mean_value: 20 mean_value: 30 scale: 0.5",
    )
    objects = {
        1: expected(NAMES[0], 2, 3, 9, 8),
        2: expected(NAMES[0], 0, 0, 11, 9),
        3: expected(NAMES[1], 5, 2, 14, 11),
    }
    background = [
        expected(NAMES[0], 4, 4, 12, 9),
        expected(NAMES[0], 1, 1, 8, 8),
        expected(NAMES[1], 3, 3, 9, 9),
    ]
    seen, seen_background = set(), set()
    for _ in range(12):
        data, label = forward(net)
        assert data.shape == (9, 3, 7, 7)
        assert (label[:6] == 0).all()
        pixels = data * 2 + np.array([10, 20, 30]).reshape(3, 1, 1)
        for crop, class_index in zip(pixels[6:], label[6:], strict=True):
            np.testing.assert_array_equal(crop, objects[class_index])
        for crop in pixels[:6]:
            found = [k for k, want in enumerate(background) if (crop == want).all()]
            assert len(found) == 1
            seen_background.update(found)
        seen.update(label[6:])
    assert seen == {1, 2, 3}
    assert seen_background == {0, 1, 2}
    net.close()


@pytest.mark.parametrize(
    ("settings", "transform"),
    [("batch_size: 4 scale: 0.25", "crop_size: 7"), ("batch_size: 4", "crop_size: 7 scale: 0.25")],
)
def test_either_scale_counts(tmp_path, settings, transform):
    (tmp_path / "one.txt").write_text(window_text("1 1 2 3 9 8"))
    net = window_net(tmp_path / "one.txt", f"{settings} fg_fraction: 1", transform)
    want = expected(NAMES[0], 2, 3, 9, 8)
    np.testing.assert_array_equal(forward(net)[0], np.stack([want] * 4) / 4)
    net.close()


def test_two_scales_are_refused(source):
    message = (
        r'net.prototxt:1, layer "data" \(WindowData\): scale is set twice: 0.5 in '
        r"window_data_param and 2 in transform_param. Remove one.$"
    )
    with pytest.raises(NetError, match=message):
        window_net(source, "batch_size: 8 scale: 0.5", "crop_size: 7 scale: 2")


def test_old_places_of_transformations_are_warned_about(source, caplog_minicaffe):
    net = window_net(source, 'batch_size: 8 mirror: true mean_file: "m"', "crop_size: 7")
    net.close()
    warnings = [r.getMessage() for r in caplog_minicaffe.records if r.levelname == "WARNING"]
    assert warnings == [
        f'net.prototxt:1, layer "data" (WindowData): window_data_param.{name} has no effect in '
        "`layer`, only in the old `layers`. Write it in transform_param."
        for name in ("mean_file", "mirror")
    ]


def test_mirror_turns_about_half_of_the_windows(tmp_path):
    (tmp_path / "one.txt").write_text(window_text("1 1 2 3 9 8"))
    net = window_net(
        tmp_path / "one.txt", "batch_size: 200 fg_fraction: 1", "crop_size: 7 mirror: true"
    )
    want = expected(NAMES[0], 2, 3, 9, 8)
    data, _ = forward(net)
    turned = [(crop == want[:, :, ::-1]).all() for crop in data]
    assert all(t or (crop == want).all() for t, crop in zip(turned, data, strict=True))
    assert 60 < sum(turned) < 140
    net.close()


def test_the_mean_file_is_cut_in_the_middle_and_the_padding_stays_empty(tmp_path):
    (tmp_path / "one.txt").write_text(window_text("1 1 0 0 9 9"))
    mean = np.arange(3 * 24 * 24, dtype=np.float32).reshape(3, 24, 24)
    blob = BlobProto(shape=BlobShape(dim=[1, 3, 24, 24]), data=mean.ravel())
    (tmp_path / "mean.binaryproto").write_bytes(blob.SerializeToString())
    net = window_net(
        tmp_path / "one.txt",
        "batch_size: 1 fg_fraction: 1 context_pad: 5",
        f'crop_size: 20 scale: 2 mean_file: "{tmp_path}/mean.binaryproto"',
    )
    data, _ = forward(net)
    # A box of 10 pixels, widened to 21, of which 5 are outside: 5 of 20 in the crop.
    want = np.zeros((3, 20, 20))
    piece = resize(read_image(IMAGES / NAMES[0])[:, :16, :16], 15, 15)
    want[:, 5:, 5:] = 2 * (piece - mean[:, 7:22, 7:22])
    np.testing.assert_allclose(data[0], want, rtol=1e-6)
    net.close()


@pytest.mark.parametrize("mirror", [False, True])
def test_context_beyond_the_corners(mirror):
    cut = Cropper(20, context_pad=5)
    turn = slice(None, None, -1 if mirror else 1)
    patch = cut(IMAGE, CropBox(0, 0, 9, 9), mirror)
    assert (patch.top, patch.left) == (5, 0 if mirror else 5)
    np.testing.assert_array_equal(patch.pixels, resize(IMAGE[:, :16, :16], 15, 15)[:, :, turn])
    # At the other corner: columns 35 to 55 of 50, rows 25 to 45 of 40.
    patch = cut(IMAGE, CropBox(40, 30, 49, 39), mirror)
    assert (patch.top, patch.left) == (0, 6 if mirror else 0)
    np.testing.assert_array_equal(patch.pixels, resize(IMAGE[:, 25:, 35:], 14, 14)[:, :, turn])


def test_square_widens_the_shorter_side():
    patch = Cropper(9, square=True)(IMAGE, CropBox(10, 20, 19, 25), mirror=False)
    # The middle is (15, 23) and half a side 5; borders are rounded, so that 11 pixels are taken.
    np.testing.assert_array_equal(patch.pixels, resize(IMAGE[:, 18:29, 10:21], 9, 9))
    assert (patch.top, patch.left) == (0, 0)


def test_warp_stretches():
    patch = Cropper(9)(IMAGE, CropBox(10, 20, 19, 25), mirror=False)
    np.testing.assert_array_equal(patch.pixels, resize(IMAGE[:, 20:26, 10:20], 9, 9))


def test_crops_of_every_kind_fit():
    """Rounding never lets a piece stick out."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        (x1, x2), (y1, y2) = (np.sort(rng.integers(0, n, 2)).tolist() for n in (50, 40))
        size = int(rng.integers(7, 30))
        cut = Cropper(size, int(rng.integers(0, 4)), bool(rng.integers(2)))
        patch = cut(IMAGE, CropBox(x1, y1, x2, y2), bool(rng.integers(2)))
        assert patch.top + patch.pixels.shape[1] <= size
        assert patch.left + patch.pixels.shape[2] <= size


def test_a_restored_layer_continues_exactly(source):
    net, other = window_net(source), window_net(source, seed=5)
    for _ in range(3):
        forward(net)
    other.restore(json.loads(json.dumps(net.state())))
    for _ in range(3):
        for got, want in zip(forward(other), forward(net), strict=True):
            np.testing.assert_array_equal(got, want)
    net.close()
    other.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'the window file is empty; it begins with "# 0".'),
        ("0\n", ":1: found '0', expected \"# INDEX\""),
        ("# 0\na.png\n3\n8\n", "the file ends where columns should be. Is it complete?"),
        ("# 0\na.png\n3\n8\nx\n", ":5: found 'x', expected columns, a whole number."),
        ("# 0\na.png\n1\n8\n8\n0\n", ":2: 1 channels; images are read in colour"),
        ("# 0\na.png\n3\n8\n8\n2\n1 1 0 0 3 3\n", "the file ends where window 2 of 2 should be"),
        ("# 0\na.png\n3\n8\n8\n1\n1 1 0 0 3\n", ":7: '1 1 0 0 3' is no window; a window is CLASS"),
        ("# 0\na.png\n3\n8\n8\n1\n1 x 0 0 3 3\n", ":7: '1 x 0 0 3 3' is no window"),
        ("# 0\na.png\n3\n8\n8\n1\n\n1 1 5 0 3 3\n", ":8: '1 1 5 0 3 3' is no window"),
        ("# 0\na.png\n3\n8\n8\n1\n1 1 0 0 3.5 3\n", ":7: '1 1 0 0 3.5 3' is no window"),
        ("# 0\na.png\n3\n8\n8\n1\n1 nan 0 0 3 3\n", ":7: '1 nan 0 0 3 3' is no window"),
        ("# 0\na.png\n3\n8\n8\n1\n1 1 0 0 inf 3\n", ":7: '1 1 0 0 inf 3' is no window"),
        ("# 0\na.png\n3\n8\n8\n1\n1e30 1 0 0 3 3\n", ":7: '1e30 1 0 0 3 3' is no window"),
        ("# 0\na.png\n3\n8\n8\n1\n1 1 0 0 3 3\n1 1 0 0 3 3\n", ":8: found '1 1 0 0 3 3', expected"),
        (
            "# 0\na.png\n3\n8\n8\n1\n0 1 0 0 3 3\n",
            r":2: .*a.png has a window of class 0 with an ov",
        ),
        ("# 0\na.png\n3\n8\n8\n1\n1 0 0 0 3 3\n", ": no window has an overlap of at least fg_thre"),
        ("# 0\na.png\n3\n8\n8\n1\n1 1 0 0 3 3\n", ": no window has an overlap of less than bg_thr"),
    ],
)
def test_wrong_window_files(tmp_path, text, message):
    path = tmp_path / "windows.txt"
    path.write_text(text)
    with pytest.raises(NetError, match=r'"data" \(WindowData\): ' + re.escape(str(path))) as caught:
        window_net(path)
    caught.match(message)


def test_windows_outside_and_images_that_are_missing(tmp_path):
    path = tmp_path / "windows.txt"
    path.write_text(window_text("1 1 0 0 500 3"))
    net = window_net(path, "batch_size: 2 fg_fraction: 1")
    with pytest.raises(DataError, match=r"windows.txt:2: the window 0 0 500 3 .* lies outside the"):
        net.forward()
    net.close()
    path.write_text("# 0\nnone.png\n3\n8\n8\n1\n1 1 0 0 3 3\n")
    net = window_net(path, "batch_size: 2 fg_fraction: 1")
    with pytest.raises(DataError, match=r"windows.txt:2: .*none.png: the image cannot be read"):
        net.forward()
    net.close()
    with pytest.raises(NetError, match=r"windows.txt:2: .*none.png: the image cannot be read"):
        window_net(path, "batch_size: 2 fg_fraction: 1 cache_images: true")
    with pytest.raises(NetError, match=r"no.txt: the window file cannot be read: No such file"):
        window_net(tmp_path / "no.txt")


@pytest.mark.parametrize(
    ("settings", "transform", "message"),
    [
        ("", "crop_size: 7", "batch_size is missing or 0; it must be at least 1"),
        ("batch_size: 2", "", r"transform_param { crop_size } is missing: the size of the windows"),
        ("batch_size: 2 context_pad: 4", "crop_size: 8", "context_pad: 4 on both .* at most 3"),
        ('batch_size: 2 crop_mode: "cut"', "crop_size: 7", 'crop_mode: "cut" is unknown; it is "w'),
        ("batch_size: 2 fg_fraction: 1.5", "crop_size: 7", "fg_fraction: 1.5 is not a share; it"),
        (
            "batch_size: 2",
            "crop_size: 7 mean_value: 1 mean_value: 2",
            "transform_param: 2 mean_values for images of 3 channels; give one, or",
        ),
    ],
)
def test_wrong_settings(source, settings, transform, message):
    with pytest.raises(NetError, match=r'net.prototxt:1, layer "data" \(WindowData\): ' + message):
        window_net(source, settings, transform)
