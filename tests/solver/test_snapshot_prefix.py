"""The prefix of snapshots: checked without harm to other files, and used by one training."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_nets import FED_NET, FIXED

from minicaffe.errors import SolverError
from minicaffe.solver.snapshots.snapshot_prefix import check_snapshot_prefix, claimed_prefix

ALWAYS = FIXED.replace("snapshot_after_train: false", "")


def test_files_of_the_user_stay(workdir):
    Path("s.writable").write_text("mine")
    check_snapshot_prefix("s", "solver.prototxt")
    assert Path("s.writable").read_text() == "mine"
    assert [path.name for path in Path().iterdir()] == ["s.writable"]


@pytest.mark.parametrize(
    ("prefix", "said"),
    [("a\0b", "contains a NUL byte"), ("n" * 250, "cannot be written: File name too long")],
)
def test_names_that_cannot_be(workdir, prefix, said):
    with pytest.raises(SolverError, match=f"solver.prototxt:3: snapshot_prefix.*{said}"):
        check_snapshot_prefix(prefix, "solver.prototxt:3")


def process_that_ended():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_leftovers_of_killed_trainings_are_removed(make_solver):
    dead, alive = process_that_ended(), os.getpid()
    removed = [f".s_iter_{name}.{dead}" for name in ("7.caffemodel", "9.solverstate.h5.json")]
    kept = [
        f".s_iter_7.caffemodel.{alive}",
        f".s_iter_8.caffemodel.{dead}",
        f".s_iter_7.txt.{dead}",
        f".another_iter_7.caffemodel.{dead}",
        f"s_iter_7.caffemodel.{dead}",
    ]
    for name in removed + kept:
        Path(name).touch()
        if name != kept[1]:  # that one could be of another machine's process
            os.utime(name, (1, 1))
    make_solver(FED_NET, ALWAYS + 'snapshot_prefix: "s" max_iter: 1').solve()
    assert not any(Path(name).exists() for name in removed)
    assert all(Path(name).exists() for name in kept)


needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")


@needs_linux
def test_two_trainings_with_one_prefix(make_solver, caplog_minicaffe):
    with claimed_prefix("./s"):
        make_solver(FED_NET, ALWAYS + 'snapshot_prefix: "s" max_iter: 1').solve()
    (warning,) = (r.getMessage() for r in caplog_minicaffe.records if r.levelname == "WARNING")
    assert warning == (
        'Another training writes snapshots with snapshot_prefix: "s"; the files of the two will '
        "replace each other. Give each training a prefix of its own."
    )


@needs_linux
def test_a_prefix_is_free_again(make_solver, caplog_minicaffe):
    def claim_and_die():
        claimed_prefix("s").__enter__()
        os._exit(0)

    killed = multiprocessing.get_context("fork").Process(target=claim_and_die)
    killed.start()
    killed.join()
    for prefix in ("s", "s", "other"):
        with claimed_prefix("another"):
            solver = make_solver(FED_NET, ALWAYS + f'snapshot_prefix: "{prefix}" max_iter: 1')
            solver.solve()
    assert not [r for r in caplog_minicaffe.records if r.levelname == "WARNING"]


def test_without_snapshots_nothing_is_claimed(make_solver, caplog_minicaffe):
    with claimed_prefix("s"):
        make_solver(FED_NET, FIXED + 'snapshot_prefix: "s" max_iter: 1').solve()
    assert not [r for r in caplog_minicaffe.records if r.levelname == "WARNING"]
