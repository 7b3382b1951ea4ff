"""extract_features and classification."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from minicaffe.cli.commands.extract_features import as_datum_array
from minicaffe.cli.main import run_command
from minicaffe.data.datum import decode_datum
from minicaffe.data.db import open_database
from minicaffe.data.mean import channel_means
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.schema import Datum, write_blobproto

FILES = Path(__file__).parents[1] / "golden" / "files"
LAYERS = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 9 stride: 9 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
DATA = f"""
layer {{ name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{FILES}/db_resized_lmdb" backend: LMDB batch_size: 4 }} }}
"""
INPUT = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 9 dim: %d dim: 28 dim: 32 } } }
"""


@pytest.fixture
def log(log):
    """Run in an empty folder with a net and its weights; the log's messages."""
    Path("net.prototxt").write_text(DATA + LAYERS)
    Path("deploy.prototxt").write_text(INPUT % 3 + LAYERS)
    net = Net("net.prototxt", "TEST", seed=1)
    save_net(net, "w.caffemodel")
    net.close()
    log.clear()
    return log


def expected(name, batches):
    net = Net("net.prototxt", "TEST", seed=1)
    values = []
    for _ in range(batches):
        net.forward()
        values.append(net.blobs[name].data.get())
    net.close()
    return np.concatenate(values)


@pytest.mark.parametrize("kind", ["lmdb", "LEVELDB"])
def test_features_in_databases(log, kind):
    args = ["w.caffemodel", "net.prototxt", "conv,ip", "a,b", "3", kind, "CPU", "0"]
    assert run_command("extract_features", args) == 0
    for name, path, shape in (("conv", "a", (2, 3, 3)), ("ip", "b", (6, 1, 1))):
        with open_database(path, kind) as database:
            records = list(database.items())
        assert [key for key, _ in records] == [b"%010d" % i for i in range(12)]
        assert not any(Datum.FromString(value).HasField("label") for _, value in records)
        values = np.stack([decode_datum(value, None, "")[0] for _, value in records])
        np.testing.assert_array_equal(values, expected(name, 3).reshape(12, *shape))
    assert "Successfully extracted the features!" in log.messages
    assert "Extracted features of 12 query images for feature blob ip" in log.messages


def test_features_in_files(log):
    args = ["w.caffemodel", "net.prototxt", "conv,prob", "a.h5,b.h5", "2", "hdf5"]
    assert run_command("extract_features", args) == 0
    with h5py.File("a.h5") as file:
        np.testing.assert_array_equal(file["conv"][:], expected("conv", 2))
    args = ["w.caffemodel", "net.prototxt", "prob", "b.npy", "2", "npy"]
    assert run_command("extract_features", args) == 0
    np.testing.assert_array_equal(np.load("b.npy"), expected("prob", 2))


def test_blobs_of_any_number_of_axes_are_stored():
    assert as_datum_array(np.zeros((2, 3, 4, 5, 6))).shape == (24, 5, 6)
    assert as_datum_array(np.zeros(())).shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({2: "ipp"}, 1, 'net.prototxt: no blob "ipp". Did you mean ip?'),
        ({2: "ip,conv"}, 2, "2 blobs (ip,conv) and 1 outputs (a); there must be one output for"),
        ({2: "ip,conv", 3: "a,a"}, 2, "outputs a,a: one occurs twice; each blob needs its own"),
        ({4: "0"}, 2, "NUM_BATCHES: 0 is too small; it must be at least 1"),
        ({5: "lmbd"}, 2, "DB_TYPE lmbd: no such type. Did you mean lmdb?"),
        ({6: "TPU"}, 2, "CPU/GPU: invalid choice: 'TPU'"),
        ({6: "GPU"}, 1, "--gpu=0"),
        ({0: "none"}, 1, "none: no such file"),
    ],
)
def test_messages(log, capsys, change, code, message):
    args = ["w.caffemodel", "net.prototxt", "ip", "a", "1", "lmdb", "CPU"]
    for k, word in change.items():
        args[k] = word
    assert run_command("extract_features", args) == code
    assert message in capsys.readouterr().err
    assert not Path("a").exists()


# --- classification ---


def test_five_likeliest_classes(log, capsys):
    with open_database(str(FILES / "db_resized_lmdb"), "LMDB") as database:
        image = decode_datum(next(database.items())[1], None, "")[0]
    Image.fromarray(image[::-1].transpose(1, 2, 0)).save("first.png")
    Path("labels.txt").write_text("".join(f"class {i}\r\n" for i in range(6)))
    args = ["deploy.prototxt", "w.caffemodel", "0", "labels.txt", "first.png"]
    assert run_command("classification", args) == 0
    lines = capsys.readouterr().out.splitlines()
    prob = expected("prob", 1)[0]
    order = np.argsort(-prob)
    assert lines[0] == "---------- Prediction for first.png ----------"
    assert lines[1:] == [f'{prob[k]:.4f} - "class {k}"' for k in order[:5]]


def test_mean_folder_and_grey(log, capsys):
    Path("deploy.prototxt").write_text(INPUT % 1 + LAYERS)
    save_net(Net("deploy.prototxt", "TEST", seed=1), "w.caffemodel")
    Path("labels.txt").write_text("a\nb\nc\nd\ne\nf")
    Path("images").mkdir()
    for name in ("b.png", "a.jpg"):
        Image.new("RGB", (50, 40), (9, 9, 9)).save(f"images/{name}")
    args = ["deploy.prototxt", "w.caffemodel", "9", "labels.txt", "images"]
    assert run_command("classification", [*args, "--input_scale=0.01"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "---" in line] == [
        f"---------- Prediction for images/{name} ----------" for name in ("a.jpg", "b.png")
    ]
    assert lines[7].startswith("0.1667")  # an image of zeros: all classes alike


def test_means(tmp_path):
    mean = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    write_blobproto(tmp_path / "m.binaryproto", mean)
    np.save(tmp_path / "m.npy", mean)
    for path in ("m.binaryproto", "m.npy"):
        np.testing.assert_array_equal(channel_means(str(tmp_path / path), 3), [3.5, 11.5, 19.5])
    np.testing.assert_array_equal(channel_means("1,2,3", 3), [1, 2, 3])
    np.testing.assert_array_equal(channel_means("7", 3), [7, 7, 7])
    np.testing.assert_array_equal(channel_means("", 1), [0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: "net.prototxt"}, "net.prototxt: needs one input of shape (N, 1 or 3, rows, columns)"),
        ({2: "1,2"}, "mean 1,2: has 2 channels, the net's input 3; take the mean that belongs to"),
        ({2: "x.npy"}, "x.npy: cannot be read as a NumPy array"),
        ({2: "x.binaryproto"}, "x.binaryproto: no such file"),
        ({3: "two.txt"}, "two.txt: 2 labels, but the net tells 6 classes apart"),
        ({3: "no.txt"}, "no.txt: the labels cannot be read: No such file or directory."),
        ({4: "no.png"}, "no.png: the image cannot be read: No such file or directory."),
        ({4: "empty"}, "empty: no image in this folder (.jpg, "),
    ],
)
def test_messages_of_classification(log, capsys, change, message):
    Path("empty").mkdir()
    Path("two.txt").write_text("a\nb\n")
    Path("labels.txt").write_text("a\nb\nc\nd\ne\nf\n")
    args = ["deploy.prototxt", "w.caffemodel", "0", "labels.txt", "x.png"]
    for k, word in change.items():
        args[k] = word
    assert run_command("classification", args) == 1
    assert message in capsys.readouterr().err
