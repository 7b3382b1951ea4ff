"""docs/migrating.md quotes the messages that the program prints."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import caffe
import no_card
from minicaffe.cli.main import main
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.errors import MinicaffeError

PAGE = Path(__file__).parents[2] / "docs/migrating.md"

INPUT = (
    'layer { name: "data" type: "Input" top: "data" '
    "input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }\n"
)
SCORES = (
    'layer { name: "scores" type: "InnerProduct" bottom: "data" top: "scores"\n'
    '  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }\n'
)
LOSS = (
    'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }\n'
)
LABEL = 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }\n'
SOLVER = 'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 3 snapshot_prefix: "net"\n'


def data_layer(source="train_lmdb", backend="LMDB", transform=""):
    return (
        'layer { name: "data" type: "Data" top: "data" top: "label"\n'
        f"  transform_param {{ {transform} }}\n"
        f'  data_param {{ source: "{source}" backend: {backend} batch_size: 2 }} }}\n'
    )


def layer(text):
    return INPUT + f"layer {{ {text} }}\n"


def database(path, labels=(0, 1, 2, 3), sizes=(8, 8, 8, 8), backend="lmdb"):
    with create_database(path, backend) as db:
        for index, (label, size) in enumerate(zip(labels, sizes, strict=True)):
            image = np.full((3, size, size), index, np.uint8)
            db.put(b"%08d" % index, encode_datum(image, label))


TIME = ["time", "--model=net.prototxt", "--iterations=1"]
TRAIN = ["train", "--solver=solver.prototxt"]
# name: (text of net.prototxt, command)
NETS = {
    "unknown type": (layer('name: "r" type: "Relu" bottom: "data" top: "r"'), TIME),
    "unknown type of a fork": (layer('name: "p" type: "Rotate" bottom: "data" top: "p"'), TIME),
    "unknown field": (
        layer('name: "p" type: "Rotate" bottom: "data" top: "p" rotate_param { order: 0 }'),
        TIME,
    ),
    "syntax": (INPUT + "layer { name: data }\n", TIME),
    "unknown bottom": (layer('name: "r" type: "ReLU" bottom: "conv1" top: "r"'), TIME),
    "two sources": (
        INPUT + SCORES + SCORES.replace('name: "scores"', 'name: "again"'),
        TIME,
    ),
    "number of bottoms": (layer('name: "loss" type: "SoftmaxWithLoss" bottom: "data"'), TIME),
    "zero kernel": (
        layer(
            'name: "c" type: "Convolution" bottom: "data" top: "c" '
            "convolution_param { num_output: 4 }"
        ),
        TIME,
    ),
    "group": (
        layer(
            'name: "c" type: "Convolution" bottom: "data" top: "c"\n'
            "  convolution_param { num_output: 4 kernel_size: 3 group: 2 }"
        ),
        TIME,
    ),
    "kernel too large": (
        layer(
            'name: "c" type: "Convolution" bottom: "data" top: "c"\n'
            "  convolution_param { num_output: 4 kernel_size: 11 }"
        ),
        TIME,
    ),
    "eltwise shapes": (
        INPUT
        + SCORES
        + 'layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "scores" top: "sum" }',
        TIME,
    ),
    "number of labels": (
        INPUT + SCORES + LABEL.replace("dim: 2", "dim: 5") + LOSS,
        TIME,
    ),
    "no database": (data_layer("ilsvrc12_train_lmdb"), TIME),
    "wrong backend": (data_layer("train_lmdb", "LEVELDB"), TIME),
    "label": (data_layer("wrong_labels_lmdb") + SCORES + LOSS, TRAIN),
    "label while timing": (data_layer("wrong_labels_lmdb") + SCORES + LOSS, TIME),
    "sizes": (data_layer("mixed_lmdb") + SCORES, TIME),
    "crop": (data_layer(transform="crop_size: 20"), TIME),
    "mean file": (data_layer(transform='mean_file: "grey.binaryproto"'), TIME),
    "mean values": (data_layer(transform="mean_value: 1 mean_value: 2"), TIME),
    "missing image": (
        'layer { name: "data" type: "ImageData" top: "data" top: "label"\n'
        '  image_data_param { source: "train.txt" batch_size: 1 } }\n',
        TIME,
    ),
    "missing file": (INPUT, ["time", "--model=nets/net.prototxt"]),
    "gpu": (INPUT, [*TIME, "--gpu=0"]),
    "history": (
        INPUT + SCORES + LABEL + LOSS,
        [*TRAIN, "--snapshot=other.solverstate"],
    ),
    "caffemodel as snapshot": (
        INPUT + SCORES + LABEL + LOSS,
        [*TRAIN, "--snapshot=other.caffemodel"],
    ),
    "weights": (
        INPUT + SCORES.replace("4", "5") + LABEL + LOSS,
        [*TRAIN, "--weights=other.caffemodel"],
    ),
    "shared weights": (
        INPUT
        + SCORES.replace("inner_product_param", 'param { name: "w" } inner_product_param')
        + 'layer { name: "again" type: "InnerProduct" bottom: "data" top: "again"\n'
        '  param { name: "w" } inner_product_param { num_output: 5 } }\n',
        TIME,
    ),
}
SOLVERS = {
    "policy": SOLVER.replace("fixed", "stepp"),
    "solver type": SOLVER + 'type: "Adamm"\n',
    "test_iter": SOLVER.replace("net:", "train_net:") + 'test_net: "net.prototxt"\n',
    "no net": SOLVER.replace('net: "net.prototxt"', ""),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    database("train_lmdb")
    return tmp_path


def write_other_solver_files():
    """Write other.caffemodel and other.solverstate, of a solver with a longer history."""
    Path("other_net.prototxt").write_text(INPUT + SCORES + LABEL + LOSS)
    Path("other.prototxt").write_text(
        SOLVER.replace("net.prototxt", "other_net.prototxt") + 'type: "Adam"'
    )
    solver = caffe.get_solver("other.prototxt")
    solver.step(1)
    solver.snapshot()
    for suffix in ("caffemodel", "solverstate"):
        Path(f"net_iter_1.{suffix}").rename(f"other.{suffix}")


def assert_quoted(text):
    """Check that the page contains every line, up to the list of all known names."""
    page = PAGE.read_text()
    for line in filter(None, text.replace(str(Path.cwd()), "/home/me/nets").splitlines()):
        text, _, _ = re.sub(r" Iteration \d+ is saved: .*", "", line).partition(" Known: ")
        assert f"`{text}`" in page, line


def errors_of(capsys, argv):
    """Run a command that must fail and return its error messages."""
    capsys.readouterr()
    assert main(argv) != 0
    lines = capsys.readouterr().err.splitlines()
    return "\n".join(re.sub(r"^E.*?\] ", "", line) for line in lines if line.startswith("E"))


@pytest.mark.parametrize("case", NETS)
def test_message_of_a_net(case, folder, capsys, monkeypatch):
    text, argv = NETS[case]
    if case == "gpu":
        no_card.remove_cupy(monkeypatch)
    Path("net.prototxt").write_text(text)
    Path("solver.prototxt").write_text(SOLVER)
    if case.startswith("label"):
        database("wrong_labels_lmdb", labels=(0, 1, 4, 3))
    if case == "sizes":
        database("mixed_lmdb", sizes=(8, 9, 8, 8))
    if case == "mean file":
        blob = caffe.io.array_to_blobproto(np.zeros((1, 1, 8, 8)))
        Path("grey.binaryproto").write_bytes(blob.SerializeToString())
    if case == "missing image":
        Path("train.txt").write_text("cats/1.jpg 0\n")
    if "other." in " ".join(argv):
        write_other_solver_files()
    assert_quoted(errors_of(capsys, argv))


@pytest.mark.parametrize("case", SOLVERS)
def test_message_of_a_solver(case, folder, capsys):
    Path("net.prototxt").write_text(INPUT + SCORES + LABEL + LOSS)
    Path("solver.prototxt").write_text(SOLVERS[case])
    assert_quoted(errors_of(capsys, TRAIN))


def test_warning_of_nan(folder, capsys):
    Path("net.prototxt").write_text(data_layer() + SCORES + LOSS)
    Path("solver.prototxt").write_text(SOLVER.replace("0.01", "1e38") + "display: 1")
    main(TRAIN)
    lines = capsys.readouterr().err.splitlines()
    warnings = [re.sub(r"^W.*?\] ", "", line) for line in lines if line.startswith("W")]
    assert warnings
    assert_quoted("\n".join(warnings))


def test_warning_of_a_stuck_loss(folder, capsys):
    Path("net.prototxt").write_text(data_layer(transform="scale: 1e6") + SCORES + LOSS)
    solver = SOLVER.replace("max_iter: 3", "max_iter: 30").replace("0.01", "1e-9")
    Path("solver.prototxt").write_text(solver + "random_seed: 1")
    main(TRAIN)
    lines = capsys.readouterr().err.splitlines()
    (warning,) = [re.sub(r"^W.*?\] ", "", line) for line in lines if line.startswith("W")]
    # Which samples are at the limit first depends on the initial weights.
    first = re.sub(
        r"^Iteration \d+: the loss is [\d.]+", "Iteration 2: the loss is 87.3365", warning
    )
    assert_quoted(first.partition(" Most often")[0])


def test_locked_leveldb(folder, capsys):
    pytest.importorskip("plyvel")
    database("train_leveldb", backend="leveldb")
    Path("net.prototxt").write_text(data_layer("train_leveldb", "LEVELDB"))
    code = "import plyvel; db = plyvel.DB('train_leveldb'); print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as other_program:
        other_program.stdout.readline()
        assert_quoted(errors_of(capsys, TIME))
        other_program.communicate(b"\n")


def test_memory_of_a_gpu(folder, capsys, monkeypatch, emulated_device):
    no_card.install(monkeypatch, [emulated_device])
    emulated_device.heap.total_bytes = 40 << 20
    sizes = "dim: 16384 dim: 3 dim: 8 dim: 8 } shape { dim: 16384 } } }\n"
    net = 'layer { name: "data" type: "Input" top: "data" top: "label" input_param { shape { '
    Path("net.prototxt").write_text(net + sizes + SCORES + LOSS)
    Path("solver.prototxt").write_text(SOLVER)
    assert_quoted(errors_of(capsys, [*TRAIN, "--gpu=0"]))


def test_mean_of_a_transformer():
    transformer = caffe.io.Transformer({"data": (1, 3, 227, 227)})
    with pytest.raises(ValueError, match="Mean") as raised:
        transformer.set_mean("data", np.zeros((1, 256, 256)))
    assert_quoted(str(raised.value))


def test_missing_file_in_python(folder):
    with pytest.raises(MinicaffeError) as raised:
        caffe.Net("deploy.prototxt", caffe.TEST)
    assert_quoted(str(raised.value))


def test_the_permute_layer_of_the_page(folder, monkeypatch):
    code, net = re.search(
        r"```python\n(.*?)```\n\n\s*```\n(.*?)```", PAGE.read_text(), re.DOTALL
    ).groups()
    Path("permute_layer.py").write_text(textwrap.dedent(code))
    Path("net.prototxt").write_text(
        "force_backward: true\n" + INPUT.replace('"data"', '"conv"') + textwrap.dedent(net)
    )
    monkeypatch.syspath_prepend(folder)
    net = caffe.Net("net.prototxt", caffe.TEST)
    values = np.random.default_rng(0).standard_normal(net.blobs["conv"].data.shape)
    net.blobs["conv"].data[...] = values
    net.forward()
    np.testing.assert_array_equal(
        net.blobs["perm"].data, net.blobs["conv"].data.transpose(0, 2, 3, 1)
    )
    net.blobs["perm"].diff[...] = net.blobs["perm"].data
    net.backward()
    np.testing.assert_array_equal(net.blobs["conv"].diff, net.blobs["conv"].data)
