"""segnet_scenes: it learns, continues after an interruption, and segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from example_scripts import write_scenes
from example_training import losses_of, place_models, short_solver
from minicaffe.cli.main import run_command

MODEL = Path("models") / "segnet_scenes"
SCENES = Path("data") / "fashion-mnist" / "scenes_of_five"
CLASSES = ("tshirt", "trouser", "pullover", "bag", "boot")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the model and a few small scenes under the paths of the net."""
    root = tmp_path_factory.mktemp("root")
    place_models(root, MODEL.name)
    write_scenes(root / SCENES, "--train", 24, "--test", 4, "--classes", *CLASSES)
    return root


@pytest.mark.slow
def test_it_learns_continues_and_segments(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(root)
    solver = short_solver(MODEL, tmp_path)
    losses = losses_of(solver, ["loss"], 6)
    solver.snapshot()
    rest = losses_of(solver, ["loss"], 6)
    solver.close()
    resumed = short_solver(MODEL, tmp_path)
    resumed.restore(tmp_path / "net_iter_6.solverstate")
    assert losses_of(resumed, ["loss"], 6) == rest
    resumed.close()
    assert np.mean(rest[-3:]) < 0.8 * np.mean(losses[:3])
    (weights,) = tmp_path.glob("*.caffemodel")
    arguments = [str(MODEL / "deploy.prototxt"), str(weights), str(SCENES / "JPEGImages")]
    options = ["--output=out", "--mean=120", "--input_scale=0.02"]
    truth = [f"--truth={SCENES}/SegmentationClass", f"--labels={SCENES}/classes.txt"]
    assert run_command("segment", [*arguments, *options, *truth]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("out/")]) == 28
    assert len(list(Path("out").iterdir())) == 28
    assert lines[-6].startswith("  background  0.")
