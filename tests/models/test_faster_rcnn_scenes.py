"""faster_rcnn_scenes: it learns, continues after an interruption, and detects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from example_scripts import write_scenes
from example_training import (
    convert_boxes,
    digest_of_weights,
    losses_of,
    place_models,
    short_solver,
)
from minicaffe.cli.main import run_command

MODEL = Path("models") / "faster_rcnn_scenes"
SCENES = Path("data") / "fashion-mnist" / "scenes"
LOSSES = ("rpn_loss_cls", "rpn_loss_bbox", "loss_cls", "loss_bbox")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the model and a few small scenes under the paths of the net."""
    root = tmp_path_factory.mktemp("root")
    place_models(root, MODEL.name)
    write_scenes(root / SCENES, "--train", 8, "--test", 4)
    convert_boxes(root / SCENES, "test")
    return root


@pytest.mark.slow
def test_it_learns_continues_and_detects(root, tmp_path, monkeypatch, capsys, caplog_minicaffe):
    monkeypatch.chdir(root)
    solver = short_solver(MODEL, tmp_path, batches=4)
    losses = losses_of(solver, LOSSES, 10)
    solver.snapshot()
    rest = losses_of(solver, LOSSES, 20)
    digest = digest_of_weights(solver, tmp_path)
    solver.test_all()
    solver.close()
    assert "Test net output #0: detection_eval = " in caplog_minicaffe.text
    resumed = short_solver(MODEL, tmp_path, batches=4)
    resumed.restore(tmp_path / "net_iter_10.solverstate")
    assert losses_of(resumed, LOSSES, 20) == rest
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
