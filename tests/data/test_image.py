import io

import numpy as np
import pytest
from PIL import Image

from minicaffe.data.datum import decode_datum, parse_datum
from minicaffe.data.db import open_database
from minicaffe.data.image import decode_image, encode_image, read_image
from minicaffe.data.pixels.resizing import resize
from minicaffe.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)


def file_content(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "color", "size"),
    [
        ("db_raw_lmdb", True, (0, 0)),
        ("db_resized_lmdb", True, (28, 32)),
        ("db_gray_lmdb", False, (20, 20)),
    ],
)
def test_images_equal_those_that_caffe_stored(golden_files, name, color, size):
    with open_database(str(golden_files / name), "LMDB") as db:
        for key, value in db.items():
            expected, _ = decode_datum(value, None, name)
            image = read_image(golden_files / "images" / key[9:].decode(), color, *size)
            np.testing.assert_array_equal(image, expected, err_msg=key.decode())


def test_jpeg_bytes_equal_those_that_caffe_encoded(golden_files):
    with open_database(str(golden_files / "db_encoded_lmdb"), "LMDB") as db:
        for key, value in db.items():
            if key.endswith(b".png"):
                image = read_image(golden_files / "images" / key[9:].decode())
                stored = decode_image(parse_datum(value, "").data, None, "")
                ours = decode_image(encode_image(image, "jpg"), None, "")
                np.testing.assert_array_equal(ours, stored)


def bilinear(image, height, width):
    """The rule in plain floating point, one value at a time."""
    channels, old_height, old_width = image.shape
    result = np.empty((channels, height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * old_height / height - 0.5, 0), old_height - 1)
            u = min(max((x + 0.5) * old_width / width - 0.5, 0), old_width - 1)
            y0, x0 = int(v), int(u)
            y1, x1 = min(y0 + 1, old_height - 1), min(x0 + 1, old_width - 1)
            fy, fx = v - y0, u - x0
            upper = image[:, y0, x0] * (1 - fx) + image[:, y0, x1] * fx
            lower = image[:, y1, x0] * (1 - fx) + image[:, y1, x1] * fx
            result[:, y, x] = upper * (1 - fy) + lower * fy
    return result


@pytest.mark.parametrize("size", [(11, 13), (3, 2), (5, 9), (1, 1), (10, 14), (17, 3)])
def test_resize_is_bilinear(size):
    image = np.ascontiguousarray(RGB.transpose(2, 0, 1))
    resized = resize(image, *size)
    assert resized.dtype == np.uint8
    assert np.abs(resized - bilinear(image, *size)).max() <= 1.01


def test_halving_averages_four_pixels():
    image = np.array([[[0, 1, 10, 20], [1, 0, 30, 41]]], np.uint8)
    np.testing.assert_array_equal(resize(image, 1, 2), [[[1, 25]]])


def test_same_size_is_the_same_image():
    image = np.ascontiguousarray(RGB.transpose(2, 0, 1))
    assert resize(image, 5, 7) is image


def expected(color):
    bgr = RGB[:, :, ::-1].transpose(2, 0, 1)
    if color:
        return bgr
    return (RGB.astype(int) @ (9797, 19234, 3737) >> 15)[None]


@pytest.mark.parametrize("color", [True, False])
def test_alpha_is_dropped(color):
    content = file_content(Image.fromarray(np.dstack([RGB, np.full((5, 7), 9, np.uint8)])))
    np.testing.assert_array_equal(decode_image(content, color, ""), expected(color))


def test_alpha_is_kept_where_the_file_decides():
    alpha = np.arange(35, dtype=np.uint8).reshape(5, 7)
    content = file_content(Image.fromarray(np.dstack([RGB, alpha])))
    image = decode_image(content, None, "")
    np.testing.assert_array_equal(image[:3], expected(True))
    np.testing.assert_array_equal(image[3], alpha)


@pytest.mark.parametrize("color", [True, False])
def test_palette(color):
    paletted = Image.fromarray(RGB).quantize(64)
    assert len(paletted.getcolors()) == 35
    image = decode_image(file_content(paletted), color, "")
    np.testing.assert_array_equal(image, expected(color))


@pytest.mark.parametrize(("color", "channels"), [(True, 3), (False, 1), (None, 1)])
@pytest.mark.parametrize("mode", ["L", "1", "16 bits"])
def test_grey_files(mode, color, channels):
    grey = np.array([[0, 255, 255], [255, 0, 0]], np.uint8)
    if mode == "16 bits":
        image = Image.fromarray((grey.astype(np.uint16) << 8) + 77)
    else:
        image = Image.fromarray(grey).convert(mode)
    image = decode_image(file_content(image), color, "")
    np.testing.assert_array_equal(image, np.repeat(grey[None], channels, axis=0))


def test_cmyk_jpeg():
    inks = np.full((8, 8, 4), (0, 255, 255, 51), np.uint8)  # red, a fifth of it black
    content = file_content(Image.fromarray(inks, "CMYK"), "JPEG", quality=100)
    image = decode_image(content, True, "").astype(int)
    assert np.abs(image - np.array([0, 0, 204])[:, None, None]).max() <= 3


def test_exif_orientation_turns_unless_the_file_decides():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn a quarter clockwise
    image = Image.fromarray(np.repeat(np.arange(0, 256, 16, dtype=np.uint8)[None], 8, axis=0))
    content = file_content(image, "JPEG", exif=exif, quality=95)
    assert decode_image(content, True, "").shape == (3, 16, 8)
    grey = decode_image(content, False, "")[0]
    assert grey.shape == (16, 8)
    assert grey[0].max() < 8
    assert decode_image(content, None, "").shape == (1, 8, 16)


def test_png_keeps_every_value():
    image = np.ascontiguousarray(RGB.transpose(2, 0, 1))
    np.testing.assert_array_equal(decode_image(encode_image(image, "png"), None, ""), image)


def test_unknown_type_to_write():
    with pytest.raises(DataError, match="image type 'pgn': not one that can be written"):
        encode_image(np.zeros((1, 2, 2), np.uint8), "pgn")


def test_missing_empty_and_damaged_files(tmp_path):
    with pytest.raises(DataError, match=r"x.jpg: the image cannot be read: No such file"):
        read_image(tmp_path / "x.jpg")
    with pytest.raises(DataError, match=r"key 'a': the image is empty \(0 bytes\)"):
        decode_image(b"", True, "db, key 'a'")
    content = file_content(Image.fromarray(np.tile(RGB, (20, 20, 1))), "JPEG")
    with pytest.raises(DataError, match="key 'a': not an image that can be decoded"):
        decode_image(content[: len(content) // 2], True, "db, key 'a'")
