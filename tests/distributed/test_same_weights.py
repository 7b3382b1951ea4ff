"""`minicaffe train` under mpiexec learns the weights of one process, and resumes with any number.

All trainings read the first images of the Fashion-MNIST subset in data/.
"""

import json
import re
import signal
import time
from functools import cache

import numpy as np
import pytest
import train_commands
from mpi_ranks import ROOT, TIMEOUT_S, run_ranks_of_python, start_ranks
from test_exchange import TYPES

from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.data.idx import read_set
from minicaffe.weights.files import read_weights_file

N_IMAGES, N_ITERATIONS = 45, 3  # batches of 8 cross the end of the database after 5
CLOSE = 1e-5
NUMBERS_OF_RANKS = (1, 2, 4)

DATA = """
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
  transform_param {{ scale: 0.004 {transform} }}
  data_param {{ source: "{source}" batch_size: 8 backend: LMDB {data} }} }}
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TEST }}
  transform_param {{ scale: 0.004 {crop} }}
  data_param {{ source: "{source}" batch_size: 6 backend: LMDB }} }}
"""
BODY = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 5 stride: 2 BIAS
    weight_filler { type: "xavier" } } }
NORM
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool" top: "ip1"
  inner_product_param { num_output: 19 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
DROP
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
DROPOUT = 'layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }'
SYNC = """
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" batch_norm_param { sync: true } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
"""
# Labels of this database are the numbers of the images.
NUMBERED = """
layer { name: "numbers" type: "Python" bottom: "label" top: "class" include { phase: TRAIN }
  python_param { module: "image_numbers" layer: "Numbers" } }
"""
NUMBERS_MODULE = """import caffe

class Numbers(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def backward(self, *args): pass
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data % 10
        with open(f"numbers{caffe.solver_rank()}", "a") as file:
            print(*bottom[0].data.astype(int), file=file)
"""
SOLVER = """net: "{net}.prototxt" base_lr: 0.02 lr_policy: "fixed" random_seed: 7 display: 0
snapshot_prefix: "{name}" max_iter: {n_iterations} {settings}"""

RANDOM = "crop_size: 23 mirror: true"


def body(norm="", drop=""):
    # Batch normalization cancels a bias, whose gradient is made of rounding errors only.
    bias = "bias_term: false" if norm else ""
    return BODY.replace("BIAS", bias).replace("NORM", norm).replace("DROP", drop)


def data(source="images", transform="", crop="", settings=""):
    return DATA.format(source=source, transform=transform, crop=crop, data=settings)


def numbered(settings):
    """Return a random net that writes the numbers of the images that it reads."""
    net = body(drop=DROPOUT).replace('"label" top: "loss"', '"class" top: "loss"')
    return data("numbered", RANDOM, "crop_size: 23", settings) + NUMBERED + net


NETS = {
    "plain": data() + body(),
    "random": data(transform=RANDOM, crop="crop_size: 23") + body(drop=DROPOUT),
    "sync": data() + body(norm=SYNC),
    "numbered": numbered("shuffle: true"),
    "in_order": numbered(""),
}
TESTED = "test_interval: 2 test_iter: 5"
# Net and settings of each training.
SOLVERS = {
    **{kind: ("plain", f'type: "{kind}" {settings}') for kind, settings in TYPES.items()},
    "random": ("random", f"momentum: 0.9 {TESTED}"),
    "clip": ("random", "momentum: 0.9 clip_gradients: 0.5"),
    "iter": ("random", "momentum: 0.9 iter_size: 2"),
    "sync": ("sync", f"momentum: 0.9 {TESTED}"),
}
# Settings of trainings that end and go on.
RESUMED = "momentum: 0.9"
# iter_size is refused with parts. The order of the statistics' sums depends on the processes.
IN_PARTS = [name for name in SOLVERS if name not in ("iter", "sync")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with databases, nets and solvers."""
    path = tmp_path_factory.mktemp("same_weights")
    source = ROOT / "data" / "fashion-mnist"
    files = (source / f"t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    images, labels = read_set(*map(str, files))
    for name in ("images", "numbered"):
        with create_database(str(path / name), "LMDB") as database:
            for k in range(N_IMAGES):
                label = k if name == "numbered" else int(labels[k])
                database.put(b"%08d" % k, encode_datum(images[k][None], label))
    for name, net in NETS.items():
        (path / f"{name}.prototxt").write_text(net)
    resumed = {name: (name, RESUMED) for name in ("numbered", "in_order")}
    for name, (net, settings) in {**SOLVERS, **resumed}.items():
        text = SOLVER.format(net=net, name=name, n_iterations=N_ITERATIONS, settings=settings)
        (path / f"{name}_solver.prototxt").write_text(text)
    (path / "image_numbers.py").write_text(NUMBERS_MODULE)
    return path


def words(solver, name, *flags):
    """Return the words of a training whose last snapshot begins with a name."""
    return [
        *(f"{solver}_solver.prototxt", "--threads=1", f"--set=snapshot_prefix={name}"),
        *(f"--run={name}_run", *flags),
    ]


@pytest.fixture(scope="module")
def trained(folder):
    """Train with 1, 2 and 4 processes, without and with parts; a function returns the files.

    The training of one process without any flag is that of 0 processes.
    """
    for n in (0, *NUMBERS_OF_RANKS):
        commands = [words(s, f"{s}{n}", *["--batch_size=total"] * (n > 0)) for s in SOLVERS]
        if n:
            flags = "--batch_size=total", "--summation_parts=4"
            commands += [words(s, f"{s}{n}parts", *flags) for s in IN_PARTS]
        run_commands(folder, max(n, 1), commands)
    return folder


def run_commands(folder, n, commands):
    """Run trainings one after another in n processes, started with mpiexec."""
    path = folder / f"commands{n}.json"
    path.write_text(json.dumps(commands))
    code, _, err = run_ranks_of_python(n, train_commands.__file__, str(path), cwd=folder)
    assert code == 0, err


@cache
def parameters(prefix, iteration=N_ITERATIONS):
    """Return the parameters of a snapshot, by layer and index."""
    layers = read_weights_file(f"{prefix}_iter_{iteration}.caffemodel")
    return {(one.name, k): values for one in layers for k, values in enumerate(one.blobs)}


def difference(found, expected):
    """Return the largest difference, relative to the largest value of each parameter."""
    assert found.keys() == expected.keys()
    return max(np.abs(found[k] - v).max() / np.abs(v).max() for k, v in expected.items())


def scores(run):
    """Return the scores of each test of a run."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row for row in rows if row["kind"] == "test"]


@pytest.mark.parametrize("n", NUMBERS_OF_RANKS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_weights_are_those_of_one_process(trained, solver, n):
    expected = parameters(trained / f"{solver}0")
    assert difference(parameters(trained / f"{solver}{n}"), expected) < CLOSE


@pytest.mark.parametrize("solver", IN_PARTS)
def test_parts_give_the_same_bits(trained, solver):
    expected = parameters(trained / f"{solver}1parts")
    for n in (2, 4):
        assert difference(parameters(trained / f"{solver}{n}parts"), expected) == 0
    assert difference(expected, parameters(trained / f"{solver}0")) < CLOSE


@pytest.mark.parametrize("solver", ["random", "sync"])
def test_the_scores_are_those_of_one_process(trained, solver):
    expected = scores(trained / f"{solver}0_run")
    assert [row["iteration"] for row in expected] == [0, 2]
    for n in NUMBERS_OF_RANKS:
        for found, row in zip(scores(trained / f"{solver}{n}_run"), expected, strict=True):
            assert found["outputs"] == pytest.approx(row["outputs"], rel=CLOSE)


def images_read(folder, n):
    """Return the numbers of the images that n processes read, a row for each batch of 8.

    The layer has written a line for each part of a batch; the files are removed.
    """
    ranks = []
    for file in (folder / f"numbers{rank}" for rank in range(n)):
        numbers = np.array(file.read_text().split(), int)
        ranks.append(numbers.reshape(-1, 8 // n))
        file.unlink()
    return np.concatenate(ranks, axis=1)


def test_four_processes_end_and_two_go_on(folder):
    """The order of the images, augmentation and dropout are those of one process."""
    flags = "--batch_size=total", "--summation_parts=4"

    def train(n, name, n_iterations, *more):
        command = words("numbered", name, *flags, f"--max_iter={n_iterations}", *more)
        code, _, err = run_ranks_of_python(n, "-m", "minicaffe", "train", *command, cwd=folder)
        assert code == 0, err
        return images_read(folder, n)

    expected = train(1, "whole", 6)
    first = train(4, "first", 3)
    second = train(2, "second", 6, "--snapshot=first_iter_3.solverstate")
    np.testing.assert_array_equal(np.concatenate([first, second]), expected)
    # Each image comes once before the order changes.
    assert len(np.unique(expected.flat[:N_IMAGES])) == N_IMAGES
    assert difference(parameters(folder / "second", 6), parameters(folder / "whole", 6)) == 0


def test_a_record_that_one_rank_cannot_read_ends_all_with_a_snapshot(folder):
    with create_database(str(folder / "with_damage"), "LMDB") as database:
        for k in range(24):  # in the third batch, the second half is that of rank 1
            image = np.full((1, 28, 28), k, np.uint8)
            database.put(b"%08d" % k, b"no record" if k == 21 else encode_datum(image, k % 10))
    (folder / "damaged.prototxt").write_text(data("with_damage") + body())
    text = SOLVER.format(net="damaged", name="damaged", n_iterations=100, settings="")
    (folder / "damaged_solver.prototxt").write_text(text)
    command = "train", "damaged_solver.prototxt", "--batch_size=total", "--no_run"
    code, _, err = run_ranks_of_python(2, "-m", "minicaffe", *command, cwd=folder)
    assert code == 1
    (error,) = (line for line in err.splitlines() if line.startswith("E"))
    assert re.search(r"\] rank 1 on \S+: damaged.prototxt:2, layer .* key '00000021': ", error)
    assert error.endswith("Iteration 2 is saved: go on with --snapshot=damaged_iter_2.solverstate")
    assert [path.name for path in folder.glob("damaged_iter_*.solverstate")] == [
        "damaged_iter_2.solverstate"
    ]


def test_sigterm_stops_with_a_snapshot_from_which_one_process_goes_on(folder):
    def command(n_iterations):
        flags = "--batch_size=total", "--resume=auto", f"--max_iter={n_iterations}", "--no_run"
        return "-m", "minicaffe", "train", "in_order_solver.prototxt", *flags

    process = start_ranks(2, *command(10**9), cwd=folder)
    end = time.monotonic() + TIMEOUT_S
    while not (folder / "numbers1").exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    (state,) = folder.glob("in_order_iter_*.solverstate")
    reached = int(re.search(r"[0-9]+", state.name)[0])
    read = images_read(folder, 2)
    assert len(read) == reached
    code, _, err = run_ranks_of_python(1, *command(reached + 2), cwd=folder)
    assert code == 0, err
    read = np.concatenate([read, images_read(folder, 1)])
    np.testing.assert_array_equal(read.flat, np.arange(read.size) % N_IMAGES)
