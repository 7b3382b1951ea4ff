"""The loss of the nets for the bundled data falls in a few iterations of their solvers."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.cli.main import run_command
from minicaffe.data.idx import read_set, write_idx
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver
from zoo import MODELS, ROOT

N_IMAGES = 500


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with databases of a few images under the paths of the nets."""
    folder = tmp_path_factory.mktemp("root")
    (folder / "models").symlink_to(MODELS)
    data = folder / "data" / "fashion-mnist"
    data.mkdir(parents=True)
    bundled = ROOT / "data" / "fashion-mnist"
    images, labels = read_set(
        bundled / "t10k-images-idx3-ubyte.gz", bundled / "t10k-labels-idx1-ubyte.gz"
    )
    (data / "images").write_bytes(write_idx(images[:N_IMAGES]))
    (data / "labels").write_bytes(write_idx(labels[:N_IMAGES]))
    idx = [str(data / "images"), str(data / "labels")]
    for part in ("train", "test"):
        assert run_command("convert_mnist_data", [*idx, str(data / f"{part}_lmdb")]) == 0
        pairs = str(data / f"siamese_{part}_leveldb")
        assert run_command("convert_mnist_siamese_data", [*idx, pairs]) == 0
    return folder


@pytest.mark.parametrize(
    ("solver_file", "iterations", "loss", "fall"),
    [
        ("lenet/lenet_solver", 40, "loss", 0.6),
        ("lenet/lenet_consolidated_solver", 40, "loss", 0.6),
        ("autoencoder/solver", 20, "cross_entropy_loss", 0.85),
        ("siamese/solver", 40, "loss", 0.6),
    ],
)
def test_loss_falls(folder, monkeypatch, solver_file, iterations, loss, fall):
    monkeypatch.chdir(folder)
    source = read_solver(f"models/{solver_file}.prototxt")
    source.param.random_seed = 1
    source.param.snapshot = 0
    source.param.test_initialization = False
    solver = Solver(source)
    losses = []
    try:
        for _ in range(iterations):
            solver.step(1)
            losses.append(float(solver.net.blobs[loss].data.read()))
        outputs = [test_net.forward() for test_net in solver.test_nets]
    finally:
        solver.close()
    assert len(outputs) == len(source.param.test_iter)
    assert np.mean(losses[-5:]) < fall * np.mean(losses[:5]), losses
