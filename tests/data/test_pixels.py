"""The loops over pixels in C, those in NumPy, and OpenCV: equal to the bit."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from minicaffe.data.image import Resized, decode_image
from minicaffe.data.pixels import kernels, pillow_memory
from minicaffe.data.pixels.resizing import resize
from minicaffe.data.transformer import DataTransformer, RowDraws
from minicaffe.errors import DataError
from minicaffe.random import RandomStream
from minicaffe.schema.minicaffe_pb2 import TRAIN, TransformationParameter

SIZES = [(37, 50), (5, 7), (1, 1), (3, 90), (75, 2), (74, 99), (6, 70)]


@pytest.fixture(params=["C", "NumPy"])
def loops(request, monkeypatch):
    """Run a test with the loops of each kind."""
    if request.param == "NumPy":
        for module in (kernels, pillow_memory):
            monkeypatch.setattr(module, "c_function", lambda name: None)
    elif kernels.c_function("resize_planes") is None:
        pytest.skip("no C compiler, or no AVX2")


def image(rows, columns, channels=3, seed=0):
    shape = channels, rows, columns
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("old", SIZES)
def test_resized_as_by_opencv(loops, old, size):
    given = image(*old)
    expected = cv2.resize(np.ascontiguousarray(given.transpose(1, 2, 0)), size[::-1])
    np.testing.assert_array_equal(resize(given, *size), expected.transpose(2, 0, 1))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels_are_resized_alone(loops, channels):
    given = image(11, 13, channels)
    resized = resize(given, 7, 17)
    assert resized.shape == (channels, 7, 17)
    for plane, whole in zip(given, resized, strict=True):
        np.testing.assert_array_equal(resize(plane[None], 7, 17)[0], whole)


def test_a_view_is_resized(loops):
    given = image(11, 13)
    np.testing.assert_array_equal(
        resize(given[:, ::-1, 2:9], 5, 6), resize(given[:, ::-1, 2:9].copy(), 5, 6)
    )


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_planes_of_pixels(loops, channels):
    rgb = np.ascontiguousarray(image(11, 13, channels).transpose(1, 2, 0))
    for pixels in (rgb, rgb[:, :, ::-1], rgb[2:9, 3:, ::-1]):
        planes = kernels.planes_of_bgr(pixels)
        assert planes.flags.c_contiguous
        np.testing.assert_array_equal(planes, np.moveaxis(pixels, 2, 0))


MEAN_VALUES = [(), (33.3,), (104.1, 117.2, 123.3)]


def transformed(images, crop=None, mean=None, **settings):
    param = TransformationParameter(mirror=True, crop_size=crop, **settings)
    transformer = DataTransformer(param, TRAIN)
    transformer._mean = mean  # as if from a file
    draws = RowDraws.of_all(RandomStream(3, "crop").generator(), len(images))
    windows = transformer._windows(images, draws)
    draws = RowDraws.of_all(RandomStream(3, "crop").generator(), len(images))
    return transformer(images, draws), windows


def one_by_one(images, windows, values, mean, scale):
    """The formula of minicaffe/data/transformer.py, image by image."""
    rows, columns = values.shape[2:]
    for given, (top, left, mirror), target in zip(images, windows, values, strict=True):
        whole = np.broadcast_to(mean, given.shape)
        part = np.s_[:, top : top + rows, left : left + columns]
        y = (given[part].astype(np.float32) - whole[part]) * np.float32(scale)
        np.testing.assert_array_equal(target, y[:, :, ::-1] if mirror else y)


@pytest.mark.parametrize("scale", [1, 0.00390625, 0.017])
@pytest.mark.parametrize("mean_value", MEAN_VALUES)
@pytest.mark.parametrize("crop", [None, 5, 7])
def test_transformed_with_mean_values(loops, crop, mean_value, scale):
    images = [image(7, 9 if crop is None else 9 + k % 3, seed=k) for k in range(8)]
    values, windows = transformed(images, crop, mean_value=mean_value, scale=scale)
    assert {window.mirror for window in windows} == {True, False}
    means = np.array(mean_value or (0,), np.float32)[:, None, None]
    one_by_one(images, windows, values, means, scale)


@pytest.mark.parametrize("crop", [None, 5])
def test_transformed_with_a_mean_image(loops, crop):
    images = [image(7, 9, seed=k)[:, :, ::-1] for k in range(8)]
    mean = np.random.default_rng(1).uniform(0, 255, (3, 7, 9)).astype(np.float32)
    values, windows = transformed(images, crop, mean, scale=0.3)
    one_by_one(images, windows, values, mean, 0.3)


def test_crop_larger_than_the_image(loops):
    with pytest.raises(DataError, match="crop_size 8 is larger than the image, 7 x 9"):
        transformed([image(7, 9)], 8)


def content_of(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [None, *SIZES])
@pytest.mark.parametrize("old", SIZES)
@pytest.mark.parametrize("turn", [1, 6])
def test_decoded_and_resized_in_one_pass(loops, old, size, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    picture = Image.fromarray(np.ascontiguousarray(image(*old).transpose(1, 2, 0)))
    content = content_of(picture, "PNG", exif=exif)
    turned = image(*old)[::-1]
    if turn == 6:
        turned = turned[:, ::-1].transpose(0, 2, 1)
    expected = turned
    if size is not None:
        by_opencv = cv2.resize(np.ascontiguousarray(turned.transpose(1, 2, 0)), size[::-1])
        expected = by_opencv.transpose(2, 0, 1)
    np.testing.assert_array_equal(
        decode_image(content, True, "", size and Resized(*size)), expected
    )


@pytest.mark.parametrize("color", [True, False, None])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "YCbCr"])
def test_every_mode_is_resized(loops, mode, color):
    rgb = Image.fromarray(np.ascontiguousarray(image(23, 31).transpose(1, 2, 0)))
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    content = content_of(rgb.convert(mode), kind)
    expected = resize(decode_image(content, color, ""), 11, 13)
    np.testing.assert_array_equal(decode_image(content, color, "", Resized(11, 13)), expected)


def test_an_image_in_several_pieces_of_memory(loops, monkeypatch):
    def in_pieces(self):
        raise ValueError("Image is in multiple array blocks")

    monkeypatch.setattr(Image.Image, "__arrow_c_array__", in_pieces, raising=False)
    content = content_of(Image.fromarray(np.zeros((9, 7, 3), np.uint8) + 5), "PNG")
    np.testing.assert_array_equal(decode_image(content, True, ""), np.full((3, 9, 7), 5))
