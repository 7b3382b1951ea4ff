"""summarize of weights files: shapes, statistics, values that are not finite."""

from pathlib import Path

import numpy as np
import pytest

from minicaffe.cli.main import run_command
from minicaffe.schema import LayerBlobs
from minicaffe.weights.files import write_weights_file

W = np.array([[0, -2, 3, 0.5], [1, 1, -1, 0.25]], np.float32)
B = np.array([4, 6], np.float32)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Writes layer "ip" to w.caffemodel, or another file."""
    monkeypatch.chdir(tmp_path)

    def write(w=W, name="w.caffemodel"):
        layers = [LayerBlobs("데이터", "Data", []), LayerBlobs("ip", "InnerProduct", [w, B])]
        write_weights_file(name, layers)

    return write


@pytest.mark.parametrize("name", ["w.caffemodel", "w.caffemodel.h5", "w.npz"])
def test_each_array_has_its_shape_and_statistics(weights, capsys, name):
    weights(name=name)
    assert run_command("summarize", [name]) == 0
    head, first, second, _, total = capsys.readouterr().out.splitlines()
    assert head.split()[-5:] == ["min", "max", "mean", "std", "zeros"]
    w = [f"{value:.4g}" for value in (W.min(), W.max(), W.mean(), W.std())]
    kind = ["InnerProduct"] if name == "w.caffemodel" else []
    assert first.split() == ["ip", *kind, "0", "2", "x", "4", *w, "12%"]
    assert second.split() == ["ip", *kind, "1", "2", "4", "6", "5", "1"]
    assert total == f"{name}: 1 layers with weights, 10 parameters (40 B), all finite"


def test_values_that_are_not_finite_are_counted_and_give_exit_code_1(weights, capsys):
    bad = W.copy()
    bad[0, 1], bad[1] = np.nan, np.inf
    weights(bad)
    assert run_command("summarize", ["w.caffemodel"]) == 1
    out = capsys.readouterr().out
    assert "1 NaN, 4 infinite" in out
    assert "10 parameters (40 B), 5 of them not finite" in out
    assert " 3 " in out  # the largest finite value
    weights(np.full_like(W, np.nan))
    assert run_command("summarize", ["w.caffemodel"]) == 1
    assert "8 NaN" in capsys.readouterr().out


def test_a_run_is_summarized_by_its_weights(weights, capsys):
    Path("runs/a-1").mkdir(parents=True)
    Path("runs/a-1/run.json").write_text("{}")
    weights(name="runs/a-1/last.caffemodel")
    assert run_command("summarize", ["runs/a-1"]) == 0
    assert "runs/a-1/last.caffemodel: 1 layers with weights" in capsys.readouterr().out


def test_flags_of_nets_have_no_effect(weights, capsys):
    weights()
    assert run_command("summarize", ["w.caffemodel", "--input_shape=3,4,5"]) == 0
    assert "--input_shape and --phase have no effect on weights" in capsys.readouterr().err


def test_a_file_without_weights(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_weights_file("w.caffemodel", [LayerBlobs("data", "Data", [])])
    assert run_command("summarize", ["w.caffemodel"]) == 0
    assert capsys.readouterr().out == "w.caffemodel: no layer has weights\n"
