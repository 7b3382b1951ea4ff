"""Frequent slips in programs that use pycaffe raise errors that say what to write."""

import copy
import re
from collections import OrderedDict

import numpy as np
import pytest
from caffe.proto import caffe_pb2

import caffe

DEPLOY = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p"
  pooling_param { pool: AVE global_pooling: true } }
"""


@pytest.fixture
def files(write, tmp_path):
    path, weights = write(DEPLOY), str(tmp_path / "w.caffemodel")
    caffe.Net(path, caffe.TEST).save(weights)
    return path, weights


def refused(error, message, function):
    with pytest.raises(error, match=re.escape(message)):
        function()


def set_item(items, key, value):
    items[key] = value


BLOB_SLIPS = [
    (AttributeError, "write .data[...] = x", lambda n: setattr(n.blobs["data"], "data", 1)),
    (AttributeError, "write .diff[...] = x", lambda n: setattr(n.blobs["data"], "diff", 1)),
    (AttributeError, "write .reshape(*x)", lambda n: setattr(n.blobs["data"], "shape", (1, 2))),
    (TypeError, "write blob.data[...] = x", lambda n: set_item(n.blobs["data"], ..., 1)),
    (TypeError, "write blob.data[...]", lambda n: n.blobs["data"][0]),
    (TypeError, 'write blobs["data"].data[...] = x', lambda n: set_item(n.blobs, "data", 1)),
    (TypeError, 'write params["c"][0].data[...] = x', lambda n: set_item(n.params, "c", 1)),
    (TypeError, 'write params["c"][1].data[...] = x', lambda n: set_item(n.params["c"], 1, 1)),
    (AttributeError, 'write params["c"][0].data for the weights', lambda n: n.params["c"].data),
    (AttributeError, "object has no attribute 'dota'", lambda n: n.params["c"].dota),
    (KeyError, 'no blob "date". Did you mean data?', lambda n: n.blobs["date"]),
    (KeyError, 'no parameter "p"', lambda n: n.params["p"]),
    (KeyError, 'no layer "q"', lambda n: n.layer_dict["q"]),
    (TypeError, "write forward(data=x)", lambda n: n.forward(np.zeros((2, 3, 8, 8)))),
    (TypeError, "write forward(**inputs)", lambda n: n.forward({"data": np.zeros((2, 3, 8, 8))})),
    (
        ValueError,
        'write net.blobs["data"].reshape(2, 3, 9, 9)',
        lambda n: n.forward(data=np.zeros((2, 3, 9, 9))),
    ),
    (
        ValueError,
        '"p" has shape (2, 2, 1, 1); the given array has (2, 3)',
        lambda n: n.backward(p=np.zeros((2, 3))),
    ),
]


@pytest.mark.parametrize(("error", "message", "slip"), BLOB_SLIPS)
def test_slips_with_blobs_and_parameters(files, error, message, slip):
    refused(error, message, lambda: slip(caffe.Net(files[0], caffe.TEST)))


def test_names_of_a_net_are_an_ordered_dict(files):
    blobs = caffe.Net(files[0], caffe.TEST).blobs
    assert isinstance(blobs, OrderedDict)
    assert list(blobs) == ["data", "c", "p"]
    assert list(blobs.copy()) == list(copy.copy(blobs)) == list(blobs)
    assert np.asarray(blobs["data"]).shape == ()  # an object, not a sequence


IMAGE = np.zeros((8, 8, 3))
CLASSIFIER_SLIPS = [
    (ValueError, "write predict([image])", IMAGE),
    (ValueError, "write predict([image])", IMAGE[..., 0]),
    (ValueError, "image[:, :, np.newaxis]", [IMAGE[..., 0]]),
    (ValueError, "Give images one by one, or in a list", [IMAGE[np.newaxis]]),
    (TypeError, "write predict([caffe.io.load_image('x.jpg')])", ["x.jpg"]),
    (TypeError, "write predict([caffe.io.load_image('x.jpg')])", "x.jpg"),
    (TypeError, "cv2.imread returns None", [None]),
]


@pytest.mark.parametrize("oversample", [True, False])
@pytest.mark.parametrize(("error", "message", "argument"), CLASSIFIER_SLIPS)
def test_slips_with_a_classifier(files, error, message, argument, oversample):
    classifier = caffe.Classifier(*files)
    refused(error, message, lambda: classifier.predict(argument, oversample=oversample))


def test_a_classifier_takes_any_iterable_of_images(files):
    scores = caffe.Classifier(*files).predict(iter([IMAGE, IMAGE]))
    assert scores.shape == (2, 2, 1, 1)


@pytest.mark.parametrize(
    ("error", "message", "image"),
    [
        (ValueError, "For a grey image write image[:, :, np.newaxis]", IMAGE[..., 0]),
        (ValueError, "Give images one by one", IMAGE[np.newaxis]),
        (TypeError, "caffe.io.load_image('x.jpg')", "x.jpg"),
        (TypeError, "cv2.imread returns None", None),
    ],
)
def test_slips_with_a_transformer(error, message, image):
    transformer = caffe.io.Transformer({"data": (1, 3, 8, 8)})
    transformer.set_transpose("data", (2, 0, 1))
    refused(error, message, lambda: transformer.preprocess("data", image))


@pytest.mark.parametrize(
    ("mean", "advice"),
    [
        ([1, 2, 3], "write np.array(mean)"),
        ("mean.npy", "write np.load('mean.npy')"),
        ("mean.binaryproto", "write caffe.io.blobproto_to_array(blob)[0]"),
        (caffe_pb2.BlobProto(), "write caffe.io.blobproto_to_array(mean)[0]"),
    ],
)
def test_a_mean_must_be_an_array(mean, advice):
    transformer = caffe.io.Transformer({"data": (1, 3, 8, 8)})
    refused(TypeError, advice, lambda: transformer.set_mean("data", mean))


@pytest.mark.parametrize(
    ("error", "message", "slip"),
    [
        (AttributeError, "write caffe.io.resize_image(image, (rows", lambda io: io.resize),
        (AttributeError, "write import skimage", lambda io: io.skimage),
        (AttributeError, "or scipy.ndimage.zoom", lambda io: io.zoom),
        (AttributeError, "Did you mean load_image", lambda io: io.load_imag),
        (TypeError, "(rows, columns); found 8", lambda io: io.resize_image(IMAGE, 8)),
        (TypeError, "caffe.io.load_image('x')", lambda io: io.resize_image("x", (8, 8))),
        (ValueError, "write oversample([image]", lambda io: io.oversample(IMAGE, (4, 4))),
        (TypeError, "(rows, columns); found 4", lambda io: io.oversample([IMAGE], 4)),
        (TypeError, "the name of a file, not an array", lambda io: io.load_image(IMAGE)),
        (TypeError, "BlobProto.FromString(value)", lambda io: io.blobproto_to_array(b"")),
        (TypeError, "BlobProto.FromString(open('m', 'rb')", lambda io: io.blobproto_to_array("m")),
        (TypeError, "Datum.FromString(value)", lambda io: io.datum_to_array(b"")),
        (TypeError, "np.array(x)", lambda io: io.array_to_datum([[[1]]])),
    ],
)
def test_slips_with_caffe_io(error, message, slip):
    refused(error, message, lambda: slip(caffe.io))


def test_nccl_says_the_same_everywhere():
    for call in (caffe.NCCL.new_uid, lambda: caffe.NCCL(None, "")):
        refused(RuntimeError, "a program cannot train with several GPUs", call)


def test_steps_are_a_number(write):
    solver = write(
        'base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_after_train: false net_param { '
        'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 } } } }'
    )
    refused(TypeError, "write step(100)", lambda: caffe.SGDSolver(solver).step("10"))


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("channels", [2, 3])
def test_splines_reproduce_polynomials_of_their_degree(order, channels):
    """Inside, far from the border, where the values beyond it have no influence."""
    old, new = 80, 121
    x = np.arange(old) / old - 0.5
    image = np.repeat((x**order)[:, None, None], channels, axis=2)
    got = caffe.io.resize_image(np.repeat(image, 4, axis=1), (new, 4), interp_order=order)
    is_image = channels == 3
    at = (np.arange(new) + 0.5) * old / new - 0.5 if is_image else np.linspace(0, old - 1, new)
    inner = (at > 25) & (at < old - 26)
    expected = (at[inner] / old - 0.5) ** order
    np.testing.assert_allclose(got[inner, 1, 0], expected, atol=2e-5)


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_splines_pass_through_the_samples(order):
    image = np.random.default_rng(3).random((7, 9, 2), np.float32)
    got = caffe.io.resize_image(image, (13, 17), interp_order=order)
    np.testing.assert_allclose(got[::2, ::2], image, atol=1e-6)
    grey = image[:, :, :1]
    np.testing.assert_allclose(caffe.io.resize_image(grey, (7, 9), order), grey, atol=1e-6)
    large = caffe.io.resize_image(grey, (70, 90), order)
    assert large.min() >= grey.min()
    assert large.max() <= grey.max()
