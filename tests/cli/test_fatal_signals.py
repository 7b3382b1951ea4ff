"""Signals that end the process: what stderr shows of it."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys

import pytest

from minicaffe import fatal_signals
from minicaffe.data.db import create_database

# The process aborts at the third record, in the way of an assertion that fails in a library.
ABORT = """
import os
from minicaffe.data.engines import {module} as engine
original, calls = engine.{cursor}.next, []
def next_or_abort(self):
    calls.append(1)
    if len(calls) > 2:
        os.abort()
    return original(self)
engine.{cursor}.next = next_or_abort
"""


@pytest.mark.parametrize("kind", ["lmdb", "leveldb"])
@pytest.mark.parametrize("command", ["train", "time", "compute_image_mean"])
def test_an_abort_names_the_database(project, start, kind, command):
    if kind == "leveldb":
        pytest.importorskip("plyvel")
    with create_database("the_other", kind) as db:
        for i in range(7):
            db.put(b"%d" % i, b"\x08\x01\x10\x06\x18\x07\x22\x2a" + bytes(42) + b"\x28\x01")
    net = project.net.replace('"lmdb"', '"the_other"').replace("LMDB", kind.upper())
    project.write(net=net)
    cursor = "LmdbCursor" if kind == "lmdb" else "LevelDbCursor"
    words = {
        "train": ["--solver=solver.prototxt"],
        "time": ["--model=net.prototxt", "--iterations=1"],
        "compute_image_mean": [f"--backend={kind}", "the_other", "mean.binaryproto"],
    }
    before = ABORT.format(module=f"{kind}_engine", cursor=cursor)
    process = start(command, *words[command], before=before)
    said = process.stderr.read()
    assert process.wait() == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in said
    assert 'File "the_other", line' in said
    assert " in read_data" in said


def test_a_damaged_record_is_named_while_it_is_decoded(project, start):
    before = (
        "import ctypes; from minicaffe.data import datum\n"
        "datum.StoredImage.decode = lambda self, *_: ctypes.string_at(0)"
    )
    process = start("train", "--solver=solver.prototxt", before=before)
    said = process.stderr.read()
    assert process.wait() == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in said
    assert 'File "lmdb", line' in said


@pytest.mark.parametrize("stderr", ["None", "io.StringIO()"])
def test_a_stderr_without_a_file(stderr):
    program = (
        f"import io, sys; sys.stderr = {stderr}\n"
        "from minicaffe.fatal_signals import show_fatal_signals; show_fatal_signals()"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_the_setting_of_the_program_stays(monkeypatch):
    monkeypatch.setattr(faulthandler, "is_enabled", lambda: True)
    monkeypatch.setattr(faulthandler, "enable", pytest.fail)
    fatal_signals.show_fatal_signals()


def test_errors_and_results_pass_through_a_reading_call():
    read = fatal_signals.reading("a path")
    assert read(max, 3, 7) == 7
    with pytest.raises(ZeroDivisionError) as caught:
        read(divmod, 1, 0)
    assert caught.traceback[-1].frame.code.raw.co_filename == "a path"


def test_importing_caffe_shows_fatal_signals():
    program = "import caffe, ctypes; ctypes.string_at(0)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in ended.stderr


def test_building_a_net_in_a_program_without_caffe_sets_nothing(project):
    program = (
        "import faulthandler\n"
        "from minicaffe.solver.solver import Solver; Solver('solver.prototxt').step(1)\n"
        "assert not faulthandler.is_enabled()"
    )
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONFAULTHANDLER"}
    ended = subprocess.run([sys.executable, "-c", program], env=environment)
    assert ended.returncode == 0
