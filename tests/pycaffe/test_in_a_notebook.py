"""The log and the progress of trainings in the kernel of a notebook, which these tests imitate."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import caffe
from dummy_net import DUMMY_NET
from minicaffe.pycaffe.notebooks import cell_progress

ROOT = Path(__file__).parents[2]
SOLVER = """
net: "net.prototxt" base_lr: 0.5 lr_policy: "fixed" max_iter: 20 display: 2
test_iter: 3 test_interval: 10 random_seed: 1 snapshot_after_train: false
"""
# A kernel in which nothing is displayed.
KERNEL = """
import sys, types
IPython = types.ModuleType("IPython")
IPython.get_ipython = lambda: types.SimpleNamespace(kernel=object(), execution_count=1)
sys.modules["IPython"] = IPython
"""


@pytest.fixture
def notebook(monkeypatch):
    """A notebook: `cell` is the number of the cell that runs, `outputs` the texts by display id."""
    state = SimpleNamespace(cell=1, outputs={}, n_updates=0)

    def display(data, *, raw, display_id):
        assert display_id not in state.outputs
        state.outputs[display_id] = data["text/plain"]

    def update_display(data, *, raw, display_id):
        assert display_id in state.outputs
        state.outputs[display_id] = data["text/plain"]
        state.n_updates += 1

    ipython, module = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object(), execution_count=state.cell)
    module.display, module.update_display = display, update_display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(cell_progress, "_FIRST_S", 0)
    monkeypatch.setattr(cell_progress, "_REFRESH_S", 0)
    return state


@pytest.fixture
def solver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(DUMMY_NET)
    Path("solver.prototxt").write_text(SOLVER)
    return caffe.get_solver("solver.prototxt")


def test_a_training_has_one_line_in_its_cell(notebook, solver):
    solver.solve()
    (text,) = notebook.outputs.values()
    assert re.fullmatch(r"iteration 20/20  0:\d\d  \S+ it/s  loss \S+  best accuracy \S+", text)
    assert notebook.n_updates >= 20


def test_steps_of_one_cell_share_a_line(notebook, solver):
    for _ in range(3):
        solver.step(2)
    assert len(notebook.outputs) == 1
    notebook.cell = 2
    solver.step(4)
    first, second = notebook.outputs.values()
    assert first.startswith("iteration 6/6  ")
    assert second.startswith("iteration 10/10  ")


def test_single_steps_and_short_trainings_show_nothing(notebook, solver, monkeypatch):
    for _ in range(3):
        solver.step(1)
    monkeypatch.setattr(cell_progress, "_FIRST_S", 1e9)
    solver.solve()
    assert notebook.outputs == {}


def test_programs_and_terminals_have_no_line(notebook, solver, monkeypatch):
    for shell in (None, SimpleNamespace(execution_count=1)):  # Python, IPython on a terminal
        sys.modules["IPython"].get_ipython = lambda shell=shell: shell
        solver.step(2)
    monkeypatch.delitem(sys.modules, "IPython")
    solver.step(2)
    assert notebook.outputs == {}


def logged(program, **environment):
    """Run a program, and return what it logs."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("] ")[1] for line in done.stderr.splitlines()]


PROGRAM = """
import caffe
caffe.log("one")
from minicaffe.log import logger
logger.warning("two")
caffe.init_log()
caffe.log("three")
"""


def test_the_log_of_a_notebook_has_warnings_only_until_init_log():
    assert logged(PROGRAM) == ["one", "two", "three"]
    assert logged(KERNEL + PROGRAM) == ["two", "three"]
    assert logged(KERNEL + PROGRAM, GLOG_minloglevel="0") == ["one", "two", "three"]


def test_the_deprecated_form_of_net_is_mentioned_once(tmp_path):
    (tmp_path / "net.prototxt").write_text(DUMMY_NET)
    net, weights = str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")
    program = (
        f"import caffe\ncaffe.Net({net!r}, caffe.TEST).save({weights!r})\n"
        f"for _ in range(3): caffe.Net({net!r}, {weights!r}, caffe.TEST)"
    )
    assert logged(program, GLOG_minloglevel="1") == [
        "Net(network_file, weights, phase) is the deprecated form; write "
        f"Net('{net}', caffe.TEST, weights='{weights}'). This is said once."
    ]


def test_the_speed_of_single_steps(solver, caplog_minicaffe):
    """The time of the caller between them does not count, and that of the steps does."""
    for _ in range(5):
        solver.step(1)
    lines = [m for m in caplog_minicaffe.messages if m.startswith("Iteration") and "iter/s" in m]
    found = [
        re.match(r"Iteration (\d+) \((\S+) iter/s, (\S+)s/2 iters\)", line).groups()
        for line in lines
    ]
    assert [int(iteration) for iteration, _, _ in found] == [0, 2, 4]
    for _, speed, lapse in found[1:]:
        assert float(speed) == pytest.approx(2 / (float(lapse) or 1), rel=1e-4)
