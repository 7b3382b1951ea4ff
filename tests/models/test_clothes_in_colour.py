"""cifar10_quick on real images: training from files equals training from LMDB."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from PIL import Image

from minicaffe.cli.main import run_command
from minicaffe.data.idx import read_set
from minicaffe.net import Net
from minicaffe.schema import NetState, read_net, read_solver
from minicaffe.solver.solver import Solver
from zoo import MODELS, ROOT, training_file

MODEL = MODELS / "cifar10_quick"
CLOTHES = ROOT / "data" / "fashion-mnist"
STAGES = {"lmdb": [], "files": ["files"]}
N_IMAGES = {"train": 300, "test": 200}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("script", CLOTHES / "write_colour_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def root(script, tmp_path_factory):
    """A folder with images, databases and the mean under the paths of the nets."""
    root = tmp_path_factory.mktemp("root")
    (root / "models").symlink_to(MODELS)
    folder = root / "data" / "fashion-mnist" / "colour"
    for part, n in N_IMAGES.items():
        images, labels = read_set(*script.idx_files(part))
        script.write_part(folder, part, images[:n], labels[:n])
        arguments = [f"{folder}/", str(folder / f"{part}.txt"), str(folder / f"{part}_lmdb")]
        assert run_command("convert_imageset", arguments) == 0
    mean = [str(folder / "train_lmdb"), str(folder / "mean.binaryproto")]
    assert run_command("compute_image_mean", mean) == 0
    return root


def test_images_are_coloured_and_framed(script, root):
    folder = root / "data" / "fashion-mnist" / "colour"
    lines = [line.split() for line in (folder / "test.txt").read_text().splitlines()]
    images, labels = read_set(*script.idx_files("test"))
    assert [int(label) for _, label in lines] == list(labels[: N_IMAGES["test"]])
    for (name, _), grey in zip(lines[:20], images, strict=False):
        image = np.asarray(Image.open(folder / name)).astype(int)
        assert image.shape == (32, 32, 3)
        assert (image[0, 0] <= script.LIGHTEST_DARK).all()
        assert (image != image[..., :1]).any()  # not grey
        brightness = image[2:-2, 2:-2].sum(axis=2)
        assert np.corrcoef(brightness.ravel(), grey.ravel())[0, 1] > 0.999


def test_the_net_is_that_of_cifar10():
    plain = list(read_net(training_file("cifar10_quick")).param.layer)
    clothes = list(read_net(MODEL / "clothes_train_val.prototxt").param.layer)
    assert clothes[4:] == plain[2:]


def test_the_solvers_differ_in_the_source_of_the_images():
    lmdb, files = (read_solver(MODEL / f"clothes{x}_solver.prototxt").param for x in ("", "_files"))
    assert list(files.train_state.stage) == list(files.test_state[0].stage) == ["files"]
    for param in (lmdb, files):
        for field in ("train_state", "test_state", "snapshot_prefix"):
            param.ClearField(field)
    assert lmdb == files


def test_both_sources_give_the_same_batches(root, monkeypatch):
    monkeypatch.chdir(root)
    nets = []
    for stages in STAGES.values():
        state = NetState(phase="TEST", stage=stages)
        nets.append(Net(MODEL / "clothes_train_val.prototxt", state, seed=1))
    assert [net.layers[0].type for net in nets] == ["Data", "ImageData"]
    seen = []
    for _ in range(3):  # one more than there are batches, to go round
        for net in nets:
            net.forward(end=0)
        for blob in ("data", "label"):
            lmdb, files = (net.blobs[blob].data.get() for net in nets)
            np.testing.assert_array_equal(lmdb, files)
        seen.append(nets[0].blobs["data"].data.get().copy())
    for net in nets:
        net.close()
    assert not np.array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])


def losses_of(name: str, iterations: int) -> list[float]:
    source = read_solver(f"models/cifar10_quick/{name}.prototxt")
    source.param.snapshot = 0
    source.param.test_initialization = False
    solver = Solver(source)
    losses = []
    try:
        for _ in range(iterations):
            solver.step(1)
            losses.append(float(solver.net.blobs["loss"].data.read()))
    finally:
        solver.close()
    return losses


def test_both_sources_give_the_same_training(root, monkeypatch):
    monkeypatch.chdir(root)
    lmdb = losses_of("clothes_solver", 30)
    assert losses_of("clothes_files_solver", 6) == lmdb[:6]
    assert np.mean(lmdb[-5:]) < 0.9 * np.mean(lmdb[:5]), lmdb
