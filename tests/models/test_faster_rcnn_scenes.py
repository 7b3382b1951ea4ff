"""faster_rcnn_scenes: it learns, continues after an interruption, and detects."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from example_scripts import write_scenes
from minicaffe.cli.main import run_command
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver
from zoo import MODELS

MODEL = Path("models") / "faster_rcnn_scenes"
SCENES = Path("data") / "fashion-mnist" / "scenes"
LOSSES = ("rpn_loss_cls", "rpn_loss_bbox", "loss_cls", "loss_bbox")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the model and a few small scenes under the paths of the net."""
    root = tmp_path_factory.mktemp("root")
    (root / "models").mkdir()
    (root / MODEL).symlink_to(MODELS / MODEL.name)
    scenes = root / SCENES
    write_scenes(scenes, "--train", 8, "--test", 4)
    flags = ["--anno_type=detection", f"--label_map_file={scenes / 'labelmap.prototxt'}"]
    paths = [f"{scenes}/", str(scenes / "test_boxes.txt"), str(scenes / "test_lmdb")]
    assert run_command("convert_annoset", [*flags, *paths]) == 0
    return root


def solver_of(folder):
    source = read_solver(MODEL / "solver.prototxt")
    source.param.snapshot = 0
    source.param.test_iter[:] = [4]
    source.param.test_interval = 1000
    source.param.max_iter = 40
    source.param.snapshot_prefix = str(folder / "net")
    return Solver(source)


def losses_of(solver, iterations):
    losses = []
    for _ in range(iterations):
        solver.step(1)
        losses.append(sum(float(solver.net.blobs[loss].data.read()) for loss in LOSSES))
    return losses


def digest_of_weights(solver, folder):
    solver.snapshot()
    return hashlib.sha256((folder / "net_iter_30.caffemodel").read_bytes()).hexdigest()


@pytest.mark.slow
def test_it_learns_continues_and_detects(root, tmp_path, monkeypatch, capsys, caplog_minicaffe):
    monkeypatch.chdir(root)
    solver = solver_of(tmp_path)
    losses = losses_of(solver, 10)
    solver.snapshot()
    rest = losses_of(solver, 20)
    digest = digest_of_weights(solver, tmp_path)
    solver.test_all()
    solver.close()
    assert "Test net output #0: detection_eval = " in caplog_minicaffe.text
    resumed = solver_of(tmp_path)
    resumed.restore(tmp_path / "net_iter_10.solverstate")
    assert losses_of(resumed, 20) == rest
    assert digest_of_weights(resumed, tmp_path) == digest
    resumed.close()
    assert np.mean(rest[-8:]) < 0.7 * np.mean(losses[:3])
    model = [
        f"--model_def={MODEL}/deploy.prototxt",
        f"--pretrained_model={tmp_path / 'net_iter_30.caffemodel'}",
        *("--mean_file=120,120,120", "--short_side=192", "--max_size=192"),
    ]
    compared = [f"--label_map_file={SCENES}/labelmap.prototxt", f"--truth={SCENES}/Annotations"]
    arguments = [str(SCENES / "JPEGImages"), "out", "--crop_mode=whole", *compared]
    assert run_command("detect", [*arguments, *model]) == 0
    assert len(list(Path("out").iterdir())) == 12
    assert capsys.readouterr().out.splitlines()[-1].startswith("Mean AP = 0.")
