import caffe.io
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from PIL import Image

import caffe


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_blobproto_round_trip():
    values, gradient = random(2, 3, 5), random(2, 3, 5) + 1
    blob = caffe.io.array_to_blobproto(values, gradient)
    assert list(blob.shape.dim) == [2, 3, 5]
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob), values)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob, True), gradient)
    assert caffe.io.blobproto_to_array(caffe.io.array_to_blobproto(np.float32(3))) == 3


def test_blobproto_of_old_files():
    blob = caffe_pb2.BlobProto(num=1, channels=2, height=3, width=1, data=range(6))
    np.testing.assert_array_equal(
        caffe.io.blobproto_to_array(blob), np.arange(6).reshape(1, 2, 3, 1)
    )
    assert caffe.io.blobproto_to_array(caffe_pb2.BlobProto(double_data=[2])) == 2
    blob.data.append(7)
    with pytest.raises(RuntimeError, match=r"of shape \(1, 2, 3, 1\) has 7 values in data"):
        caffe.io.blobproto_to_array(blob)


def test_a_blobproto_without_a_shape_is_one_number():
    assert caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[123])) == 123
    with pytest.raises(ValueError, match=r"^a BlobProto without a shape, a single number, has 2 "):
        caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[1, 2]))


def test_blobproto_vector():
    arrays = [random(2, 3), random(4)]
    text = caffe.io.arraylist_to_blobprotovector_str(arrays)
    for a, b in zip(caffe.io.blobprotovector_str_to_arraylist(text), arrays, strict=True):
        np.testing.assert_array_equal(a, b)


def test_datum_round_trip():
    image = np.arange(30, dtype=np.uint8).reshape(3, 2, 5)
    datum = caffe.io.array_to_datum(image, 4)
    assert (datum.label, datum.channels, datum.height, datum.width) == (4, 3, 2, 5)
    np.testing.assert_array_equal(caffe.io.datum_to_array(datum), image)
    assert caffe.io.datum_to_array(datum).flags.writeable
    values = random(3, 2, 5)
    datum = caffe.io.array_to_datum(values)
    assert not datum.HasField("label")
    np.testing.assert_array_equal(caffe.io.datum_to_array(datum), values)
    with pytest.raises(ValueError, match=r"Incorrect array shape."):
        caffe.io.array_to_datum(image[0])
    with pytest.raises(RuntimeError, match=r"encoded image \(JPEG or PNG\); decode datum.data"):
        caffe.io.datum_to_array(caffe_pb2.Datum(encoded=True, data=b"x"))


@pytest.fixture
def saved(tmp_path):
    def save(values, mode=None, name="a.png"):
        path = tmp_path / name
        image = Image.fromarray(values)
        (image.convert(mode) if mode else image).save(path)
        return str(path)

    return save


def test_load_image(saved):
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    image = caffe.io.load_image(saved(rgb))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, rgb / 255, rtol=1e-6)
    grey = caffe.io.load_image(saved(rgb), color=False)
    assert grey.shape == (5, 7, 1)
    np.testing.assert_allclose(grey[..., 0], rgb @ [0.2125, 0.7154, 0.0721] / 255, rtol=1e-5)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_load_image_of_every_mode(saved, mode):
    values = np.repeat(np.array([[[0], [255], [255]]], np.uint8), 3, axis=2)
    name = "a.tif" if mode == "CMYK" else "a.png"
    image = caffe.io.load_image(saved(values, mode, name))
    np.testing.assert_array_equal(image, values / 255)
    assert caffe.io.load_image(saved(values, mode, name), color=False).shape == (1, 3, 1)


def test_load_image_of_16_bits(saved):
    values = np.array([[0, 65535, 257]], np.uint16)
    np.testing.assert_allclose(
        caffe.io.load_image(saved(values), color=False)[0, :, 0], [0, 1, 1 / 255], rtol=1e-6
    )


def test_load_image_of_a_file_that_is_not_an_image(tmp_path):
    with pytest.raises(FileNotFoundError):
        caffe.io.load_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(OSError, match=r"text.png"):
        caffe.io.load_image(str(tmp_path / "text.png"))


def interpolate(image, row, column):
    """Interpolate between four pixels; the value beyond the border is the minimum."""

    def pixel(i, j):
        inside = 0 <= i < image.shape[0] and 0 <= j < image.shape[1]
        return image[i, j] if inside else np.full(image.shape[2], image.min())

    i, j = int(np.floor(row)), int(np.floor(column))
    u, v = row - i, column - j
    return (
        (1 - u) * (1 - v) * pixel(i, j)
        + (1 - u) * v * pixel(i, j + 1)
        + u * (1 - v) * pixel(i + 1, j)
        + u * v * pixel(i + 1, j + 1)
    )


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("size", [(4, 3), (11, 13), (5, 13), (1, 1)])
def test_resize_image(channels, size):
    image = random(5, 7, channels)
    got = caffe.io.resize_image(image, size)
    assert got.shape == (*size, channels)
    assert got.dtype == np.float32
    for i in range(size[0]):
        for j in range(size[1]):
            if channels == 2:
                row, column = i * 4 / max(size[0] - 1, 1), j * 6 / max(size[1] - 1, 1)
            else:
                row, column = (i + 0.5) * 5 / size[0] - 0.5, (j + 0.5) * 7 / size[1] - 0.5
            want = interpolate(image.astype(float), row, column)
            np.testing.assert_allclose(got[i, j], want, rtol=1e-4, atol=1e-5)


def test_resize_image_to_the_nearest_pixel():
    image = np.arange(4, dtype=np.float32).reshape(2, 2, 1)
    np.testing.assert_array_equal(
        caffe.io.resize_image(image, (4, 4), interp_order=0)[..., 0],
        [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]],
    )
    with pytest.raises(RuntimeError, match=r"interp_order: 6 is not available; use 0 \(nearest\)"):
        caffe.io.resize_image(image, (4, 4), interp_order=6)


def test_resize_image_of_one_value():
    np.testing.assert_array_equal(caffe.io.resize_image(np.full((3, 4, 3), 7), (5, 6)), 7)


def test_oversample():
    image = random(6, 8, 3)
    crops = caffe.io.oversample([image, image + 1], (3, 5))
    assert crops.shape == (20, 3, 5, 3)
    np.testing.assert_array_equal(crops[0], image[:3, :5])
    np.testing.assert_array_equal(crops[1], image[:3, 3:])
    np.testing.assert_array_equal(crops[2], image[3:, :5])
    np.testing.assert_array_equal(crops[3], image[3:, 3:])
    np.testing.assert_array_equal(crops[4], image[1:4, 1:6])
    np.testing.assert_array_equal(crops[5:10], crops[:5, :, ::-1])
    np.testing.assert_array_equal(crops[10:], crops[:10] + 1)
    with pytest.raises(RuntimeError, match="cannot crop 7 x 5 from images of 6 x 8"):
        caffe.io.oversample([image], (7, 5))


@pytest.fixture
def transformer():
    transformer = caffe.io.Transformer({"data": (1, 3, 4, 5)})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 0, 1))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", np.array([100, 110, 120]))
    transformer.set_input_scale("data", 0.5)
    return transformer


def test_transformer(transformer):
    image = random(4, 5, 3)
    before = image.copy()
    out = transformer.preprocess("data", image)
    want = (image.transpose(2, 0, 1)[[2, 0, 1]] * 255 - [[[100]], [[110]], [[120]]]) * 0.5
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-3)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(image, before)
    np.testing.assert_allclose(transformer.deprocess("data", out[None]), image, atol=1e-5)


def test_transformer_resizes(transformer):
    assert transformer.preprocess("data", random(9, 9, 3)).shape == (3, 4, 5)


def test_transformer_does_nothing_by_default():
    image = random(4, 5, 3)
    out = caffe.io.Transformer({"data": [1, 3, 4, 5]}).preprocess("data", image)
    np.testing.assert_array_equal(out, image)


def test_mean_images(transformer):
    image = random(3, 4, 5)
    transformer.set_mean("data", image)
    assert transformer.mean["data"] is image
    transformer.set_mean("data", random(3, 8, 10))
    assert transformer.mean["data"].shape == (3, 4, 5)
    grey = caffe.io.Transformer({"data": (1, 1, 4, 5)})
    grey.set_mean("data", image[0])
    assert grey.mean["data"].shape == (1, 4, 5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda t: t.preprocess("dta", random(2, 2, 3)),
            Exception,
            "dta is not one of the net inp",
        ),
        (lambda t: t.set_transpose("data", (1, 0)), Exception, "Transpose order needs to have"),
        (
            lambda t: t.set_channel_swap("data", (1, 0)),
            Exception,
            r"Channel swap needs to have .* channels. Found \(1, 0\) for the \d of \"data\"; f",
        ),
        (lambda t: t.set_mean("data", np.zeros(2)), ValueError, "Mean channels incompatible"),
        (lambda t: t.set_mean("data", np.zeros((2, 4, 5))), ValueError, "Mean channels incomp"),
        (lambda t: t.set_mean("data", np.zeros((1, 1, 1, 1))), ValueError, "Mean shape invalid"),
    ],
)
def test_transformer_refuses_invalid_arguments(transformer, call, error, message):
    with pytest.raises(error, match=message):
        call(transformer)
