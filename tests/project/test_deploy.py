"""minicaffe deploy."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers, save_net

TRAIN_VAL = """name: "small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  data_param { source: "missing_lmdb" batch_size: 9 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.004 crop_size: CROP }
  data_param { source: "lmdb" batch_size: 4 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" param { lr_mult: 1 }
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture
def small(command):
    """The command, in a folder with lmdb and train_val.prototxt."""
    rng = np.random.default_rng(5)
    with create_database("lmdb", "LMDB") as db:
        for i in range(4):
            pixels = rng.integers(0, 256, (1, 6, 7), dtype=np.uint8)
            db.put(b"%08d" % i, encode_datum(pixels, i))
    Path("train_val.prototxt").write_text(TRAIN_VAL.replace("crop_size: CROP", ""))
    return command


def test_the_deployed_net_gives_the_probabilities_of_the_trained_one(small):
    result = small("deploy", "train_val.prototxt")
    assert result.code == 0
    assert "Wrote deploy.prototxt" in result.err
    with closing(Net("train_val.prototxt", "TEST", seed=1)) as trained:
        trained.forward()
        save_net(trained, "w.caffemodel")
        images, scores = trained.blobs["data"].data.get(), trained.blobs["ip"].data.get()
    with closing(Net("deploy.prototxt", "TEST", seed=2)) as net:
        copy_trained_layers(net, "w.caffemodel")
        assert net.inputs[0].shape == (1, 1, 6, 7)  # the size of the images in the database
        net.inputs[0].reshape(images.shape)
        net.inputs[0].data.set(images)
        net.forward()
        found = net.blobs["prob"].data.get()
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_settings_of_training_are_left_out(small):
    small("deploy", "train_val.prototxt")
    text = Path("deploy.prototxt").read_text()
    assert not any(word in text for word in ("filler", "lr_mult", "phase", "label", "accuracy"))


def test_a_crop_gives_the_size_without_data(small):
    Path("train_val.prototxt").write_text(
        TRAIN_VAL.replace("CROP", "5").replace('"lmdb"', '"no_lmdb"')
    )
    assert small("deploy", "train_val.prototxt", "--batch=2").code == 0
    with closing(Net("deploy.prototxt", "TEST")) as net:
        assert net.inputs[0].shape == (2, 3, 5, 5)


def test_without_data_and_crop_the_error_names_both_reasons(small):
    Path("train_val.prototxt").write_text(
        TRAIN_VAL.replace("crop_size: CROP", "").replace('"lmdb"', '"no_lmdb"')
    )
    result = small("deploy", "train_val.prototxt")
    assert result.code == 1
    assert "Give it with --input_shape=C,H,W" in result.err
    assert "no_lmdb: no such database" in result.err
    assert not Path("deploy.prototxt").exists()
    assert small("deploy", "train_val.prototxt", "--input_shape=1,6,7").code == 0


def test_an_existing_file_is_overwritten_only_if_it_is_named(small):
    Path("deploy.prototxt").write_text("mine")
    result = small("deploy", "train_val.prototxt")
    assert result.code == 1
    assert "deploy.prototxt: exists already. Name the file to write with -o FILE." in result.err
    assert Path("deploy.prototxt").read_text() == "mine"
    assert small("deploy", "train_val.prototxt", "-o", "deploy.prototxt").code == 0
    assert 'type: "Input"' in Path("deploy.prototxt").read_text()


def test_a_net_without_data_layers_is_refused(small):
    Path("net.prototxt").write_text(
        'layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 1 } } }'
    )
    result = small("deploy", "net.prototxt")
    assert result.code == 1
    assert "no layer becomes an input" in result.err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lenet_train_test.prototxt", "lenet_deploy.prototxt"),
        ("net.prototxt", "net_deploy.prototxt"),
    ],
)
def test_names(small, name, expected):
    Path("train_val.prototxt").rename(name)
    assert small("deploy", name).code == 0
    assert Path(expected).exists()
