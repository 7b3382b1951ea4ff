"""What train shows on a terminal: a line for each test, warnings and errors, and a summary."""

import re
from pathlib import Path

import pytest
from terminals import lines_of, on_terminal

from minicaffe.runs.record import read_record

TRAIN = ["train", "solver.prototxt", "--set=max_iter=6"]


def table(shown):
    """Return the rows of the table as lists of words, the names of the columns first."""
    lines = lines_of(shown)
    first = next(i for i, line in enumerate(lines) if line.startswith("iteration"))
    end = next(i for i, line in enumerate(lines) if line.startswith("run "))
    return lines[:first], [line for line in lines[first:end] if line and "it/s" not in line]


@pytest.mark.parametrize("columns", [80, 200])
def test_a_line_for_each_test(project, columns):
    tests = ["--set=test_iter=11", "--set=test_interval=2"]
    shown, code = on_terminal([*TRAIN, *tests, "--set=base_lr=0.3"], columns)
    assert code == 0
    head, (names, *rows) = table(shown)
    assert head[-2].startswith("Training small: 215 parameters, ")
    assert head[-1].startswith("The run folder is runs/solver-1; its log.txt is Caffe's log")
    assert any("Add include { phase: TRAIN }" in line for line in head)  # a warning
    assert names.split() == [
        *("iteration", "epoch", "train", "loss", "test", "accuracy", "test", "loss", "lr"),
        "images/s",
    ]
    assert [row.split()[:2] for row in rows] == [
        *(["0", "0.00"], ["2", "0.73"], ["4", "1.45"], ["6", "2.18"])
    ]
    best = read_record(Path("runs/solver-1")).best
    starred = [row for row in rows if "*" in row]
    assert starred[-1].split()[0] == str(best.iteration)
    assert f"{best.value:.4g}*" in starred[-1]
    assert "Optimization Done" not in shown
    assert "Optimization Done" in Path("runs/solver-1/log.txt").read_text()


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (70, "iteration epoch train loss test accuracy test loss lr"),
        (40, "iteration test accuracy test loss"),
        (20, "iteration test accuracy"),
    ],
)
def test_narrow_terminals_lack_the_less_important_columns(project, columns, names):
    tests = ["--set=test_iter=11", "--set=test_interval=2"]
    shown, code = on_terminal([*TRAIN, *tests], columns)
    assert code == 0
    _, (head, *rows) = table(shown)
    assert " ".join(head.split()) == names
    assert [row.split()[0] for row in rows] == ["0", "2", "4", "6"]


def test_the_best_value_is_green(project):
    tests = [*TRAIN, "--set=test_iter=11", "--set=test_interval=6"]
    shown, _ = on_terminal(tests, 100)
    assert re.search(r"\x1b\[32m +0\.\d+\*\x1b\[0m", shown)
    shown, _ = on_terminal(tests, 100, {"NO_COLOR": "1"})
    assert "\x1b[32m" not in shown


def test_wide_letters_in_the_names_of_outputs(project):
    project.write(net=project.net.replace('top: "accuracy"', 'top: "정확도"'))
    tests = ["--set=test_iter=11", "--set=test_interval=6"]
    shown, code = on_terminal([*TRAIN, *tests], 100)
    assert code == 0
    _, rows = table(shown)
    assert rows[0].index("lr") + len("정확도") == rows[1].rindex("0.01") + 2


def test_without_tests_a_line_for_each_display(project):
    shown, code = on_terminal([*TRAIN, "--no_run", "--set=display=3"], 120)
    assert code == 0
    _, (names, *rows) = table(shown)
    assert names.split() == ["iteration", "epoch", "train", "loss", "lr", "images/s"]
    assert [row.split()[0] for row in rows] == ["0", "3"]
    assert "run folder" not in shown


def test_errors_are_shown(project):
    shown, code = on_terminal([*TRAIN, "--set=lr_policy=no"], 120)
    assert code == 1
    assert lines_of(shown)[0].startswith("E")
    assert '--set lr_policy=no: lr_policy: "no" is unknown.' in shown
