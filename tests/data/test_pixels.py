"""The loops over pixels in C, those in NumPy, and OpenCV: equal to the bit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from minicaffe.data.pixels import kernels
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
        monkeypatch.setattr(kernels, "c_function", lambda name: None)
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
