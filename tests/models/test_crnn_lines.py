"""crnn_lines: it learns, continues after an interruption, and tells how many lines it reads."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest

from example_scripts import run_script
from example_training import losses_of, place_models, short_solver
from minicaffe.net import Net
from models.generator.crnn import BATCH, CLASSES, COLUMNS, FOLDER, ROWS, STEPS
from zoo import ROOT, deploy_file

MODEL = Path("models") / "crnn_lines"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the model and a few lines under the paths of the net."""
    root = tmp_path_factory.mktemp("root")
    place_models(root, MODEL.name)
    script = ROOT / "data" / "glyphs" / "write_lines.py"
    run_script(script, root / FOLDER, "--train", 2 * BATCH, "--test", BATCH)
    return root


def values_of(solver):
    return [blob.data.get() for layer in solver.net.layers for blob in layer.blobs]


def test_the_deploy_net_reads_an_image_of_a_line():
    net = Net(deploy_file("crnn_lines"), "TEST", seed=1)
    assert net.blobs["score"].shape == (STEPS, 1, CLASSES)
    net.blobs["data"].data.set(np.zeros((1, 1, ROWS, COLUMNS)))
    net.forward()
    text = net.blobs["text"].data.get()
    assert text.shape == (1, STEPS, 1, 1)
    assert set(text.ravel()) <= set(range(-1, CLASSES))


def test_there_is_a_class_for_each_character(root):
    characters = (root / FOLDER / "characters.txt").read_text().split()
    assert len(characters) + 1 == CLASSES
    assert set(characters) < set(string.digits + string.ascii_uppercase)


@pytest.mark.slow
def test_it_learns_and_continues_bit_for_bit(root, tmp_path, monkeypatch, caplog_minicaffe):
    monkeypatch.chdir(root)
    solver = short_solver(MODEL, tmp_path)
    losses = losses_of(solver, ["loss"], 6)
    solver.snapshot()
    rest = losses_of(solver, ["loss"], 6)
    solver.test_all()
    assert "Test net output #0: accuracy = " in caplog_minicaffe.text
    resumed = short_solver(MODEL, tmp_path)
    resumed.restore(tmp_path / "net_iter_6.solverstate")
    assert losses_of(resumed, ["loss"], 6) == rest
    for value, again in zip(values_of(solver), values_of(resumed), strict=True):
        np.testing.assert_array_equal(value, again)
    solver.close()
    resumed.close()
    assert np.mean(rest[-3:]) < 0.8 * np.mean(losses[:3])
