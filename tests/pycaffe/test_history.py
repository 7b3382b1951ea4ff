"""solver.history: what displays and tests have logged."""

import re
from pathlib import Path

import pytest

import caffe
from minicaffe.errors import UsageError

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 5 dim: 3 } shape { dim: 5 } data_filler { type: "uniform" }
    data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "cost" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "cost" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.5 lr_policy: "step" gamma: 0.5 stepsize: 3 max_iter: 6 display: 2
test_iter: 1 test_iter: 2 test_interval: 3 random_seed: 1 snapshot_after_train: false
"""


@pytest.fixture
def solver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER)
    return caffe.get_solver("solver.prototxt")


def test_the_history_is_what_is_logged(solver, caplog_minicaffe):
    solver.solve()
    history = solver.history
    assert [row["iteration"] for row in history.train] == [0, 2, 4]
    assert [row["lr"] for row in history.train] == [0.5, 0.5, 0.25]
    assert list(history.train[0]) == ["iteration", "lr", "loss", "cost"]
    tests = [(row["iteration"], row["net"]) for row in history.test]
    assert tests == [(0, 0), (0, 1), (3, 0), (3, 1), (6, 0), (6, 1)]
    assert list(history.test[0]) == ["iteration", "net", "accuracy", "cost"]
    logged = [m for m in caplog_minicaffe.messages if "Test net output #1: cost = " in m]
    values = [float(re.search(r"cost = (\S+)", m)[1]) for m in logged]
    assert [row["cost"] for row in history.test] == pytest.approx(values, rel=1e-5)
    assert repr(history) == "TrainingHistory(3 displays, 6 tests)"


def test_no_run_folder_is_written(solver):
    solver.solve()
    assert not Path("runs").exists()


def test_curves_to_plot(solver):
    with pytest.raises(UsageError, match="Nothing has been logged yet"):
        solver.history.curve("loss")
    solver.solve()
    history = solver.history
    assert history.curve("loss") == ([0, 2, 4], [row["loss"] for row in history.train])
    of_second = [row["accuracy"] for row in history.test if row["net"] == 1]
    assert history.curve("accuracy", "test", net=1) == ([0, 3, 6], of_second)
    with pytest.raises(UsageError, match=r'no "acuracy" of kind "test"\. Did you mean accuracy'):
        history.curve("acuracy", "test")
    with pytest.raises(UsageError, match='kind is "tests"; it must be'):
        history.curve("accuracy", "tests")


def test_a_notebook_shows_a_table(solver):
    assert solver.history._repr_html_() == "<p>no displays</p><p>no tests</p>"
    solver.solve()
    text = solver.history._repr_html_()
    assert "<caption>3 displays</caption>" in text
    assert "<th>accuracy</th>" in text
    assert f"<td>{solver.history.test[-1]['cost']:.4g}</td>" in text
    solver.history.train *= 4
    assert "<caption>the last 10 of 12 displays</caption>" in solver.history._repr_html_()
