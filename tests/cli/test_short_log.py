"""Commands whose log is long show their answer only on a terminal, and the whole log on a pipe."""

import subprocess
import sys

import pytest
from log_lines import PREFIX
from terminals import CODE, lines_of, on_terminal


@pytest.fixture
def weights(project, run):
    assert run("train", "solver.prototxt", "--no_run").code == 0
    return "s_iter_2.caffemodel"


def test_test_shows_its_scores(project, weights):
    words = ["test", "--model=net.prototxt", f"--weights={weights}", "--iterations=3"]
    shown, code = on_terminal(words, 100)
    assert code == 0
    lines = [line for line in lines_of(shown) if line]
    assert [line.split()[0] for line in lines] == ["Loss:", "accuracy", "loss"]
    whole, code = on_terminal([*words, "--log"], 100)
    assert code == 0
    assert "Batch 2, accuracy = " in whole
    done = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True)
    on_pipe = done.stderr.splitlines()
    assert any("Batch 2, accuracy = " in line for line in on_pipe)
    assert all(PREFIX.match(line) for line in on_pipe[-3:])
    assert [PREFIX.sub("", line) for line in on_pipe[-3:]] == lines


def test_time_shows_its_table(project):
    shown, code = on_terminal(["time", "--model=net.prototxt", "--iterations=1"], 100)
    assert code == 0
    lines = [line for line in lines_of(shown) if line and "Add include" not in line]
    assert lines[0] == "Average time per layer:"
    assert lines[-1] == "*** Benchmark ends ***"


def test_extract_features_ends_with_a_line(project, weights):
    words = ["extract_features", weights, "net.prototxt", "ip", "ip.npy", "2", "npy"]
    shown, code = on_terminal(words, 100)
    assert code == 0
    assert [line for line in lines_of(shown) if line] == ["Successfully extracted the features!"]
