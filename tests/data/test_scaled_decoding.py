"""JPEG files decoded at a part of their size, on request."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from minicaffe.cli.main import run_command
from minicaffe.data.datum import decode_datum
from minicaffe.data.db import open_database
from minicaffe.data.image import Resized, decode_image
from minicaffe.net import Net
from minicaffe.schema import parse_net

ROWS, COLUMNS = 123, 164


def smooth_image():
    """An image whose pixels differ little from their neighbours."""
    y, x = np.mgrid[:ROWS, :COLUMNS] / 17
    waves = np.stack([np.sin(x + y), np.cos(x), np.sin(y - 2 * x)], axis=-1)
    return Image.fromarray((127 + 100 * waves).astype(np.uint8))


def content(kind="JPEG", **options):
    file = io.BytesIO()
    smooth_image().save(file, kind, **options)
    return file.getvalue()


def by_hand(file, size, side, mode="RGB"):
    """Decode with libjpeg's scaling, then resize with OpenCV."""
    with Image.open(io.BytesIO(file)) as image:
        image.draft(mode, (side, side))
        image.load()
        pixels = np.asarray(image)
    resized = cv2.resize(np.ascontiguousarray(pixels[..., ::-1]), size[::-1])
    return resized.transpose(2, 0, 1), pixels.shape


@pytest.mark.parametrize(
    ("size", "decoded"),
    [((12, 15), (16, 21)), ((12, 17), (31, 41)), ((30, 29), (31, 41)), ((61, 60), (62, 82))],
)
def test_the_smallest_sufficient_scale_is_decoded(size, decoded):
    expected, shape = by_hand(content(), size, max(size))
    assert shape[:2] == decoded
    found = decode_image(content(), True, "", Resized(*size, scaled=True))
    np.testing.assert_array_equal(found, expected)
    plain = decode_image(content(), True, "", Resized(*size))
    assert (found != plain).any()
    assert np.abs(found.astype(int) - plain).mean() < 15


@pytest.mark.parametrize("size", [(62, 60), (100, 90), (200, 300)])
def test_an_image_that_is_not_larger_than_needed(size):
    np.testing.assert_array_equal(
        decode_image(content(), True, "", Resized(*size, scaled=True)),
        decode_image(content(), True, "", Resized(*size)),
    )


def test_without_a_size_and_in_other_formats_nothing_is_scaled():
    assert decode_image(content(), True, "").shape == (3, ROWS, COLUMNS)
    png = content("PNG")
    np.testing.assert_array_equal(
        decode_image(png, True, "", Resized(9, 11, scaled=True)),
        decode_image(png, True, "", Resized(9, 11)),
    )


def test_grey_is_the_luma_of_the_scaled_file():
    with Image.open(io.BytesIO(content())) as image:
        image.draft("L", (15, 15))
        expected = cv2.resize(np.asarray(image), (15, 11))
    found = decode_image(content(), False, "", Resized(11, 15, scaled=True))
    np.testing.assert_array_equal(found[0], expected)


def test_a_turned_image_is_not_decoded_too_small():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode_image(content(exif=exif, quality=95), True, "", Resized(60, 9, scaled=True))
    plain = decode_image(content(exif=exif, quality=95), True, "", Resized(60, 9))
    assert turned.shape == (3, 60, 9)
    assert np.abs(turned.astype(int) - plain).mean() < 12


@pytest.fixture
def listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(content())
    (tmp_path / "list.txt").write_text("a.jpg 3\n")


@pytest.mark.usefixtures("listed")
def test_convert_imageset(caplog):
    flags = ["--resize_height=12", "--resize_width=15", "--scaled_decoding"]
    assert run_command("convert_imageset", [*flags, "./", "list.txt", "db"]) == 0
    with open_database("db", "LMDB") as database:
        ((_, value),) = database.items()
    expected, _ = by_hand(content(), (12, 15), 15)
    np.testing.assert_array_equal(decode_datum(value, None, "")[0], expected)
    assert "no effect" not in caplog.text


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    "flags", [[], ["--encoded", "--resize_height=12", "--resize_width=15"], ["--encode_type=png"]]
)
def test_convert_imageset_warns_of_a_flag_without_effect(flags, caplog):
    given = [*flags, "--scaled_decoding", "./", "list.txt", "db"]
    assert run_command("convert_imageset", given) == 0
    assert caplog.text.count("--scaled_decoding has no effect: it needs --resize_height") == 1


def image_net(settings, kind="ImageData"):
    text = (
        f'layer {{ name: "data" type: "{kind}" top: "data" top: "label" '
        f'image_data_param {{ source: "list.txt" scaled_decoding: true {settings} }} }}'
    )
    return Net(parse_net(text, "net.prototxt"), "TEST", seed=1)


@pytest.mark.usefixtures("listed")
def test_image_data(caplog):
    net = image_net("new_height: 12 new_width: 15")
    net.forward()
    expected, _ = by_hand(content(), (12, 15), 15)
    np.testing.assert_array_equal(net.blobs["data"].data.get()[0], expected)
    assert "no effect" not in caplog.text


@pytest.mark.usefixtures("listed")
def test_image_data_warns_of_a_field_without_effect(caplog):
    image_net("")
    assert "scaled_decoding has no effect without new_height and new_width" in caplog.text


@pytest.mark.usefixtures("listed")
def test_types_that_read_labels_for_each_pixel_warn_of_the_field(caplog):
    Image.new("L", (COLUMNS, ROWS)).save("labels.png")
    Path("list.txt").write_text("a.jpg labels.png\n")
    image_net("new_height: 12 new_width: 15", "ImageLabelmapData")
    assert "scaled_decoding has no effect in ImageLabelmapData" in caplog.text
