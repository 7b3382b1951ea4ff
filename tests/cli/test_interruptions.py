"""Killed, interrupted, hung up on, out of disk: what is left, and how training ends."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from log_lines import until

from minicaffe.cli.start import start_program
from minicaffe.schema import read_net_weights, read_solver_state
from minicaffe.solver.signals import Action, SignalActions

ENDLESS = "max_iter: 100000000"


def snapshots():
    return sorted(Path().glob("s_iter_*.solverstate"), key=lambda p: int(p.stem.split("_")[-1]))


def check_complete():
    """Read every snapshot file there is; a state's weights and side file are there before it."""
    for path in Path().glob("s_iter_*.caffemodel"):
        assert len(read_net_weights(path)) == 3
    for path in snapshots():
        state = read_solver_state(path)
        assert len(state.history) == 2
        assert Path(state.learned_net).exists()
        assert Path(f"{path}.json").exists()


def test_killed_again_and_again(project, start):
    """kill -9 at any moment leaves old files or new ones, and the last snapshot resumes."""
    solver = project.solver.replace("max_iter: 2", ENDLESS)
    project.write(solver=solver.replace("display: 1", "display: 0 snapshot: 1"))
    for kill, delay_s in enumerate((0.003, 0.0071, 0.02), start=1):
        resume = [f"--snapshot={snapshots()[-1]}"] if snapshots() else []
        process = start("train", "--solver=solver.prototxt", *resume)
        until(process, rf"Snapshotting solver state .*_{6 * kill}\.")
        time.sleep(delay_s)
        process.kill()
        process.wait()
        check_complete()
        for path in snapshots()[:-3]:
            path.unlink()
    last = snapshots()[-1]
    project.write(solver=project.solver.replace("max_iter: 2", "max_iter: 1"))
    process = start("train", "--solver=solver.prototxt", f"--snapshot={last}")
    assert "Traceback" not in process.stderr.read()
    assert process.wait() == 0


def test_ctrl_c_snapshots_and_ends_well(project, start):
    project.write(solver=project.solver.replace("max_iter: 2", ENDLESS))
    process = start("train", "--solver=solver.prototxt")
    before = until(process, "Iteration 20, lr")
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait() == 0
    assert "SIGINT: stopping after this iteration" in rest
    assert rest.splitlines()[-2].endswith("] Optimization stopped early.")
    assert rest.splitlines()[-1].endswith("] Optimization Done.")
    last = int(re.findall(r"Iteration (\d+), lr", "".join(before) + rest)[-1])
    assert [p.name for p in snapshots()] == [f"s_iter_{last + 1}.solverstate"]
    check_complete()


def test_sigterm_snapshots_and_ends_well(project, start):
    """As `kill`, container runtimes and clusters stop programs."""
    project.write(solver=project.solver.replace("max_iter: 2", ENDLESS))
    process = start("train", "--solver=solver.prototxt")
    until(process, "Iteration 20, lr")
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait() == 0
    assert "SIGTERM: stopping after this iteration" in rest
    assert rest.splitlines()[-2].endswith("] Optimization stopped early.")
    assert len(snapshots()) == 1
    check_complete()


SLOW_LAYER = """
layer { name: "slow" type: "Python" bottom: "loss" top: "slow"
  python_param { module: "slow" layer: "Slow" } }
"""
SLOW_CODE = """
import sys, time, caffe

class Slow(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(1)
    def forward(self, bottom, top):
        print("in the layer", file=sys.stderr, flush=True)
        time.sleep(3)
    def backward(self, top, propagate_down, bottom): pass
"""


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([signal.SIGINT] * 2, 130),
        ([signal.SIGINT] * 3, 130),
        ([signal.SIGTERM] * 2, -signal.SIGTERM),
        ([signal.SIGINT, signal.SIGTERM], -signal.SIGTERM),
    ],
)
def test_a_second_signal_stops_within_an_iteration(project, start, numbers, code):
    Path("slow.py").write_text(SLOW_CODE)
    project.write(net=project.net + SLOW_LAYER)
    process = start("train", "--solver=solver.prototxt")
    until(process, "in the layer")
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.05)
    began = time.monotonic()
    rest = process.stderr.read()
    assert process.wait() == code
    assert time.monotonic() - began < 2.5
    assert "Traceback" not in rest
    assert not snapshots()


@pytest.mark.parametrize("module", ["argparse", "numpy", "minicaffe.solver.solver"])
def test_ctrl_c_while_python_imports(project, module):
    """A signal sent by the import of a module has the same effect each time."""
    Path("sitecustomize.py").write_text(
        "import importlib.abc, os, signal, sys\n"
        # A shell lets the commands that it runs in the background ignore Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Interrupt(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
    )
    program = "import sys; from minicaffe.cli.start import start_program; sys.exit(start_program())"
    path = os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)])
    ended = subprocess.run(
        [sys.executable, "-c", program, "train", "--solver=solver.prototxt"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_thread_of_a_program_can_run_the_command_line(project):
    program = (
        "import sys, threading; from minicaffe.cli.main import main\n"
        "codes = []; thread = threading.Thread(target=lambda: codes.append(main()))\n"
        "thread.start(); thread.join(); sys.exit(codes[0])"
    )
    command = [sys.executable, "-c", program, "time", "--model=net.prototxt", "--iterations=1"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_hanging_up_snapshots_and_goes_on(project, start):
    project.write(solver=project.solver.replace("max_iter: 2", ENDLESS))
    process = start("train", "--solver=solver.prototxt")
    until(process, "Iteration 20, lr")
    process.send_signal(signal.SIGHUP)
    lines = until(process, "Snapshotting solver state")
    assert any("SIGHUP: taking a snapshot" in line for line in lines)
    until(process, r"Iteration \d+, lr")
    check_complete()


def test_effects_can_be_changed(project, start):
    project.write(solver=project.solver.replace("max_iter: 2", ENDLESS))
    effects = ["--sigint_effect=snapshot", "--sighup_effect=stop", "--sigterm_effect=none"]
    process = start("train", "--solver=solver.prototxt", *effects)
    until(process, "Iteration 5, lr")
    process.send_signal(signal.SIGINT)
    until(process, "SIGINT: taking a snapshot")
    process.send_signal(signal.SIGTERM)
    until(process, r"Iteration \d+, lr")
    process.send_signal(signal.SIGHUP)
    assert "SIGHUP: stopping after this iteration" in process.stderr.read()
    assert process.wait() == 0


def test_signals_are_collected_and_handlers_restored():
    before = signal.getsignal(signal.SIGINT)
    signals = SignalActions(Action.SNAPSHOT, Action.NONE)
    with signals.installed():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.poll() is Action.NONE
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert [signals.poll() for _ in range(3)] == [Action.SNAPSHOT, Action.SNAPSHOT, Action.NONE]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait():
    signals = SignalActions()
    with signals.installed():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_before_training_begins(project, run, monkeypatch):
    def interrupt(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("minicaffe.solver.solver.Solver", interrupt)
    result = run("train", "--solver=solver.prototxt")
    assert result.code == 130
    assert result.errors == ["stopped by Ctrl-C"]


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_full_disk(project, start, form):
    """The limit on file sizes lets the weights through, but not the longer state."""
    wide = project.net.replace("num_output: 5", "num_output: 300")
    settings = project.solver.replace("max_iter: 2", "max_iter: 4")
    project.write(net=wide, solver=f"{settings} snapshot: 2 snapshot_format: {form}")
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (20000, 20000))"
    process = start("train", "--solver=solver.prototxt", before=limit)
    log = process.stderr.read()
    assert process.wait() == 1
    suffix = "" if form == "BINARYPROTO" else ".h5"
    errors = [line for line in log.splitlines() if line.startswith("E")]
    assert re.search(
        rf"s_iter_2.caffemodel{suffix} cannot be written: .*File too large.*The previous file "
        "is unchanged. Training goes on; the next snapshot is tried when it is due.",
        errors[0],
    )
    assert re.search(rf"s_iter_4.caffemodel{suffix} cannot be written: ", errors[-1])
    assert "Traceback" not in log
    assert "Iteration 3, lr" in log
    assert not list(Path().glob("*s_iter*"))


@pytest.mark.parametrize(("snapshots_at", "saved"), [("snapshot: 1", [1, 2]), ("", [2])])
def test_an_error_in_the_data_while_training(project, run, snapshots_at, saved):
    """Snapshots from before stay, what was reached is saved, and the message names the record."""
    from minicaffe.data.db import create_database

    with create_database("broken", "LMDB") as db:
        from minicaffe.data.db import open_database

        with open_database("lmdb", "LMDB") as whole:
            for key, value in whole.items():
                db.put(key, value if key < b"00000009" else b"\xff" * 20)
    project.write(
        net=project.net.replace('"lmdb"', '"broken"'),
        solver=project.solver.replace("max_iter: 2", f"max_iter: 9 {snapshots_at}"),
    )
    result = run("train", "--solver=solver.prototxt")
    assert result.code == 1
    (error,) = result.errors
    assert error.startswith("net.prototxt:2, layer \"data\" (Data): broken, key '00000009': ")
    assert [p.name for p in snapshots()] == [f"s_iter_{i}.solverstate" for i in saved]
    assert any("go on with --snapshot=s_iter_2.solverstate" in m for m in result.messages)
    check_complete()


def test_a_reader_of_the_log_that_goes_away(project, start):
    """`minicaffe train 2>&1 | head` must not cost the training its weights."""
    project.write(solver=project.solver.replace("max_iter: 2", "max_iter: 40"))
    process = start("train", "--solver=solver.prototxt")
    until(process, "Iteration 3, lr")
    process.stderr.close()
    assert process.wait() == 0
    assert Path("s_iter_40.caffemodel").exists()
    process.stderr = None


def test_no_stderr_at_all(project):
    """`minicaffe train 2>&-`, as some job systems start programs."""
    command = [sys.executable, "-m", "minicaffe.cli.main", "train", "--solver=solver.prototxt"]
    ended = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *command], capture_output=True)
    assert (ended.returncode, ended.stdout) == (0, b"")
    assert Path("s_iter_2.caffemodel").exists()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
@pytest.mark.parametrize("argv", [["--version"], ["summarize", "net.prototxt"]])
def test_output_that_cannot_be_written(project, start, argv):
    with Path("/dev/full").open("w") as full:
        process = start(*argv, stdout=full)
        err = process.stderr.read()
    assert process.wait() == 1
    assert err.splitlines()[-1].endswith("standard output: No space left on device")
    assert "Traceback" not in err


def test_a_program_starts_with_arguments_of_its_caller(capsys):
    assert start_program(["plot", "no.log"]) == 1
    assert "no.log: the log cannot be read" in capsys.readouterr().err
