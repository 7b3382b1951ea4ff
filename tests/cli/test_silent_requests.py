"""Requests to commands that would have no effect, and results that must not be hidden."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database, open_database
from minicaffe.net import Net
from minicaffe.net.weights import save_net


@pytest.fixture
def weights(project):
    """The weights of the project's net."""
    with_data = Net("net.prototxt", "TEST", seed=1)
    save_net(with_data, "w.caffemodel")
    with_data.close()
    return "w.caffemodel"


@pytest.mark.parametrize("level", [1, 3])
def test_test_prints_its_result_at_every_level(run, weights, level):
    flags = "--model=net.prototxt", f"--weights={weights}", "--iterations=2"
    done = run("test", *flags, f"--minloglevel={level}")
    assert [message.split(" = ")[0].split(": ")[0] for message in done.messages] == [
        "Loss",
        "accuracy",
        "loss",
    ]
    full = run("test", *flags)
    assert full.messages[-3:] == done.messages


def test_environment_does_not_hide_results(run, weights, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    done = run("time", "--model=net.prototxt", "--iterations=1")
    assert done.messages[0] == "Average time per layer: "
    assert done.messages[-1] == "*** Benchmark ends ***"
    assert len(run("device_query").messages) >= 3
    assert "mean_value channel [0]: " in run("compute_image_mean", "lmdb").err
    assert run("train", "--solver=solver.prototxt").err == ""


def test_a_confusion_that_cannot_be_drawn_leaves_no_folder(run, weights, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    flags = "--model=net.prototxt", f"--weights={weights}", "--iterations=1", "--confusion=conf"
    done = run("test", *flags)
    assert done.code == 1
    assert "matplotlib, which is not installed" in done.err
    assert not Path("conf").exists()


def test_wrong_class_names_leave_no_folder(run, weights):
    Path("labels.txt").write_text("one\n")
    flags = "--model=net.prototxt", f"--weights={weights}", "--iterations=1", "--confusion=conf"
    assert run("test", *flags, "--labels=labels.txt").code == 1
    assert not Path("conf").exists()


DEPLOY = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 42 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 5 } }
"""


def test_features_of_a_net_without_data(run, weights):
    Path("deploy.prototxt").write_text(DEPLOY)
    done = run("extract_features", weights, "deploy.prototxt", "ip", "f", "2", "lmdb")
    assert done.code == 0
    assert done.errors == ['No layer fills the inputs "x": they are zero. Add a data layer.']


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
@pytest.mark.parametrize(("batches", "warns"), [(2, False), (3, True)])
def test_features_of_more_batches_than_data(run, project, weights, backend, batches, warns):
    if backend == "leveldb":
        with create_database("records", "LEVELDB") as db:
            for k in range(11):
                db.put(b"%02d" % k, encode_datum(np.zeros((1, 6, 7), np.uint8), 0))
        Path("net.prototxt").write_text(
            project.net.replace('"lmdb"', '"records"').replace("LMDB", "LEVELDB")
        )
    done = run("extract_features", weights, "net.prototxt", "ip", "f", str(batches), "npy")
    assert len(done.errors) == warns
    if warns:
        assert "3 batches of 4 are more than the 11 samples of the data" in done.errors[0]
        assert done.errors[0].endswith("3 batches read every sample, and 1 of them twice.")


def test_features_of_more_batches_than_rows(run, project):
    h5py = pytest.importorskip("h5py")
    for name, n in (("a.h5", 3), ("b.h5", 2)):
        with h5py.File(name, "w") as file:
            file["x"] = np.zeros((n, 3), np.float32)
    Path("list.txt").write_text("a.h5\nb.h5\n")
    Path("h.prototxt").write_text(
        'layer { name: "d" type: "HDF5Data" top: "x" '
        'hdf5_data_param { source: "list.txt" batch_size: 2 } }\n'
        'layer { name: "s" type: "Power" bottom: "x" top: "s" }'
    )
    net = Net("h.prototxt", "TEST", seed=1)
    save_net(net, "h.caffemodel")
    net.close()
    assert not run("extract_features", "h.caffemodel", "h.prototxt", "s", "f", "2", "npy").errors
    (message,) = run("extract_features", "h.caffemodel", "h.prototxt", "s", "g", "3", "npy").errors
    assert "3 batches of 2 are more than the 5 samples" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("time --model=net.prototxt --iterations=1 --no_graph", "--no_graph has no effect on the"),
        ("test --model=net.prototxt --weights=w.caffemodel --iterations=1 --stage=x", "the stage"),
        ("extract_features w.caffemodel net.prototxt ip f 1 npy CPU 1", "DEVICE_ID 1 has no"),
        ("plot --solver=solver.prototxt --output=p.svg --log", "--log has no effect with --solver"),
        ("plot --solver=solver.prototxt --output=p.svg --by=seconds", "--by has no effect with"),
        (
            "show activations --model=net.prototxt --weights=w.caffemodel --blob=ip --mean=3",
            "--mean has no effect on activations without --image. Remove it.",
        ),
    ],
)
def test_flags_without_effect(run, weights, words, message):
    done = run(*words.split())
    assert done.code == 0
    assert len(done.errors) == 1
    assert message in done.errors[0]


def test_a_training_of_inputs_that_nothing_fills(run, project):
    net = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n' + (
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" '
        "inner_product_param { num_output: 3 } }\n"
        'layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "x" top: "loss" }'
    )
    project.write(net=net)
    done = run("train", "--solver=solver.prototxt")
    assert done.errors == ['No layer fills the inputs "x": they are zero. Add a data layer.']


def write_images(labels, sizes):
    lines = []
    for k, label in enumerate(labels):
        Image.new("RGB", sizes[k % len(sizes)]).save(f"{k}.png")
        lines.append(f"{k}.png {label}\n")
    Path("list.txt").write_text("".join(lines))


def test_labels_and_sizes_are_remarked_once(run, project):
    write_images([1, 2, 3, 3], [(4, 5), (6, 7)])
    done = run("convert_imageset", "./", "list.txt", "images")
    assert done.code == 0
    assert len(done.errors) == 2
    assert "images: the labels are 1 to 3, and no image has label 0" in done.errors[0]
    assert "2 of 3 x 5 x 4, 2 of 3 x 7 x 6" in done.errors[1]
    resized = "--resize_height=4", "--resize_width=4"
    done = run("convert_imageset", *resized, "./", "list.txt", "again")
    assert len(done.errors) == 1
    write_images([0, 1, 2, 2], [(4, 5)])
    assert not run("convert_imageset", "./", "list.txt", "usual").errors


def test_labels_of_idx_files(run, project):
    def idx(values):
        head = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
        return head + values.tobytes()

    Path("images").write_bytes(idx(np.zeros((3, 4, 4), np.uint8)))
    Path("labels").write_bytes(idx(np.array([1, 2, 3], np.uint8)))
    (message,) = run("convert_mnist_data", "images", "labels", "db").errors
    assert "the labels are 1 to 3, and no image has label 0" in message


@pytest.fixture
def turned(project):
    """A JPEG of 16 columns and 8 rows, dark on the left, to be turned a quarter clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    ramp = np.repeat(np.arange(0, 256, 16, dtype=np.uint8)[None], 8, axis=0)
    Image.fromarray(np.repeat(ramp[:, :, None], 3, axis=2)).save("t.jpg", exif=exif, quality=95)
    Path("list.txt").write_text("t.jpg 0\n")
    return "t.jpg"


def test_all_readers_turn_images_by_exif(run, turned):
    image = caffe.io.load_image(turned)
    assert image.shape == (16, 8, 3)
    assert image[0].max() < 0.1 < 0.8 < image[-1].min()
    assert caffe.io.load_image(turned, color=False).shape == (16, 8, 1)


@pytest.mark.parametrize("flags", [[], ["--encoded"], ["--encode_type=png"]])
def test_databases_hold_turned_images(run, turned, flags):
    assert run("convert_imageset", *flags, "./", "list.txt", "images").code == 0
    net = Path("t.prototxt")
    net.write_text(
        'layer { name: "d" type: "Data" top: "x" top: "y" '
        'data_param { source: "images" batch_size: 1 backend: LMDB } }'
    )
    data = caffe.Net(str(net), caffe.TEST)
    data.forward()
    image = data.blobs["x"].data[0]
    assert image.shape == (3, 16, 8)
    assert image[:, 0].max() < 20 < 230 < image[:, -1].min()


def test_upright_files_are_stored_as_they_are(run, project):
    Image.new("RGB", (4, 5), (1, 2, 3)).save("a.jpg")
    Path("list.txt").write_text("a.jpg 0\n")
    run("convert_imageset", "--encoded", "./", "list.txt", "images")
    with open_database("images", "LMDB") as database:
        ((_, value),) = database.items()
    assert Path("a.jpg").read_bytes() in value
    assert Image.open(io.BytesIO(Path("a.jpg").read_bytes())).size == (4, 5)
