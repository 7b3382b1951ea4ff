"""find_lr: what it prints, writes and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicaffe.cli.main import run_command

pytest.importorskip("matplotlib", reason="needs the plot extra")


def test_it_suggests_a_rate_and_draws_a_chart(project, capsys):
    before = {path: path.read_bytes() for path in Path().glob("*.prototxt")}
    assert run_command("find_lr", ["solver.prototxt", "--end_lr=1e6", "--iterations=60"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("base_lr: ")
    assert lines[0].endswith("(the loss falls fastest)")
    assert lines[1].startswith("smallest loss at ")
    assert lines[2].startswith("diverges at ")
    assert Path("find_lr.png").stat().st_size > 10_000
    assert {path: path.read_bytes() for path in Path().glob("*.prototxt")} == before
    assert not list(Path().glob("*.caffemodel"))


def test_a_solver_that_keeps_the_best_weights(project, run):
    settings = 'test_iter: 1 test_interval: 1 keep_best: "accuracy" patience: 1 keep_last: 1'
    project.write(solver=project.solver + settings)
    assert run("find_lr", "solver.prototxt", "--iterations=10").code == 0
    assert not list(Path().glob("*.caffemodel"))


def test_a_range_without_divergence(project, capsys):
    args = ["solver.prototxt", "--start_lr=1e-4", "--end_lr=1e-2", "-o", "r.svg"]
    assert run_command("find_lr", args) == 0
    assert "does not diverge up to 0.01" in capsys.readouterr().out
    assert Path("r.svg").exists()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 2, "minicaffe find_lr: missing: SOLVER"),
        (["solver.prototxt", "--start_lr=2", "--end_lr=1"], 2, "the rate grows from the one to"),
        (["solver.prototxt", "--start_lr=0"], 2, "both are positive"),
        (["solver.prototxt", "--iterations=5"], 2, "5 is too small; it must be at least 10"),
        (["solver.prototxt", "-o", "r.txt"], 2, "unknown type of figure"),
        (["nope.prototxt"], 1, "nope.prototxt: no such file"),
        (
            ["solver.prototxt", "--start_lr=1e30", "--end_lr=1e31"],
            1,
            "solver.prototxt: the loss diverges at once, at the learning rate 1e+30",
        ),
    ],
)
def test_messages(project, capsys, args, code, message):
    assert run_command("find_lr", args) == code
    assert message in capsys.readouterr().err
