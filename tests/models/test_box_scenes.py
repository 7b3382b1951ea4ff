"""ssd_scenes and yolo_scenes: they learn, continue after an interruption, and draw boxes."""

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
from minicaffe.net import Net
from models.generator.scenes import CLASSES, SIZE
from models.generator.ssd import SOURCES
from models.generator.yolo import ANCHORS, MAPS
from zoo import deploy_file

LOSSES = {"ssd_scenes": ("mbox_loss",), "yolo_scenes": tuple(f"{name}_loss" for name in MAPS)}
SCENES = Path("data") / "fashion-mnist" / "scenes"
N_PRIORS = sum((SIZE // source.step) ** 2 * source.boxes for source in SOURCES)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with models and databases of a few small scenes under the paths of the nets."""
    root = tmp_path_factory.mktemp("root")
    place_models(root, *LOSSES)
    write_scenes(root / SCENES, "--train", 24, "--test", 4)
    convert_boxes(root / SCENES, "train", "test")
    return root


def test_the_ssd_lists_boxes_within_reach_of_the_image():
    net = Net(deploy_file("ssd_scenes"), "TEST", seed=1)
    priors = net.blobs["mbox_priorbox"]
    assert priors.shape == (1, 2, 4 * N_PRIORS)
    assert net.blobs["mbox_loc"].shape == (1, 4 * N_PRIORS)
    assert net.blobs["mbox_conf"].shape == (1, CLASSES * N_PRIORS)
    net.blobs["data"].data.set(np.zeros((1, 3, SIZE, SIZE)))
    net.forward()
    corners = priors.data.get()[0, 0].reshape(N_PRIORS, 4)
    centers = (corners[:, :2] + corners[:, 2:]) / 2
    assert centers.min() > 0
    assert centers.max() < 1
    assert net.blobs["detection_out"].shape[3] == 7


def test_the_yolo_predicts_each_anchor_on_one_map():
    net = Net(deploy_file("yolo_scenes"), "TEST", seed=1)
    for name, (step, mask) in MAPS.items():
        cells = SIZE // step
        assert net.blobs[name].shape == (1, len(mask) * (4 + CLASSES), cells, cells)
    assert sorted(k for _, mask in MAPS.values() for k in mask) == list(range(len(ANCHORS)))
    net.forward()
    assert net.blobs["detection_out"].shape[3] == 7


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_it_learns_continues_and_draws(name, root, tmp_path, monkeypatch, capsys, caplog_minicaffe):
    monkeypatch.chdir(root)
    solver = short_solver(Path("models") / name, tmp_path)
    losses = losses_of(solver, LOSSES[name], 6)
    solver.snapshot()
    rest = losses_of(solver, LOSSES[name], 6)
    digest = digest_of_weights(solver, tmp_path)
    solver.test_all()
    solver.close()
    assert "Test net output #0: detection_eval = " in caplog_minicaffe.text
    resumed = short_solver(Path("models") / name, tmp_path)
    resumed.restore(tmp_path / "net_iter_6.solverstate")
    assert losses_of(resumed, LOSSES[name], 6) == rest
    assert digest_of_weights(resumed, tmp_path) == digest
    resumed.close()
    assert np.mean(rest[-3:]) < 0.8 * np.mean(losses[:3])
    arguments = [str(SCENES / "JPEGImages"), "out", "--crop_mode=whole", "--min_score=0"]
    options = ["--mean_file=120,120,120", "--input_scale=0.02"]
    weights = tmp_path / "net_iter_12.caffemodel"
    model = [f"--model_def=models/{name}/deploy.prototxt", f"--pretrained_model={weights}"]
    names = f"--label_map_file={SCENES}/labelmap.prototxt"
    assert run_command("detect", [*arguments, *options, *model, names]) == 0
    assert len(list(Path("out").iterdir())) == 28
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "out/test_00000.png"
    assert lines[2].split()[0] in (SCENES / "classes.txt").read_text().split()
