"""Run folders: what train writes by default, how runs are listed, compared and used."""

import argparse
import json
import shutil
import signal
import struct
import time
from pathlib import Path

import pytest
from log_lines import PREFIX, until

from minicaffe.cli.options.files import weights_files
from minicaffe.cli.overview import COMMANDS, flags_of
from minicaffe.errors import DataError
from minicaffe.runs import weights_of
from minicaffe.runs.folder import new_run_folder, run_folders, run_name
from minicaffe.runs.metrics import read_metrics
from minicaffe.runs.record import read_record
from minicaffe.schema import NetParameter, SolverParameter, read_prototxt

TRAIN = ("train", "--solver=solver.prototxt")
TESTED = "test_iter: 2 test_interval: 2"


def solver_with(project, text, max_iter=4):
    project.write(solver=project.solver.replace("max_iter: 2", f"max_iter: {max_iter}") + text)


def metrics(folder):
    return [json.loads(line) for line in Path(folder, "metrics.jsonl").read_text().splitlines()]


def test_a_run_folder(project, run):
    solver_with(project, TESTED)
    result = run(*TRAIN, "--backend=reference")
    assert (result.code, result.out) == (0, "")
    folder = Path("runs/solver-1")
    assert {path.name for path in folder.iterdir()} == {
        *("run.json", "log.txt", "metrics.jsonl", "last.caffemodel"),
        *("solver.prototxt", "train.prototxt", "test-0.prototxt"),
    }
    assert (folder / "log.txt").read_text() == result.err
    assert "runs/" not in result.err
    rows = metrics(folder)
    assert [(row["kind"], row["iteration"]) for row in rows] == [
        *(("test", 0), ("train", 0), ("train", 1), ("test", 2), ("train", 2), ("train", 3)),
        ("test", 4),
    ]
    # 11 records in batches of 4
    assert [row["epoch"] for row in rows] == [0, 0, 0.3636, 0.7273, 0.7273, 1.0909, 1.4545]
    assert rows[0].keys() == {"kind", "iteration", "epoch", "time", "net", "outputs"}
    assert rows[0]["outputs"].keys() == {"accuracy", "loss"}
    train = rows[1]
    assert train["lr"] == 0.01
    assert train["outputs"]["loss"] == train["loss"]
    assert any(m.endswith(f"loss = {train['loss']:g}") for m in result.messages)
    times = [row["time"] for row in rows]
    assert times == sorted(times)


def test_what_the_record_says(project, run):
    solver_with(project, TESTED)
    assert run(*TRAIN, "--backend=reference").code == 0
    record = read_record(Path("runs/solver-1"))
    assert record.command == ["train", "solver.prototxt", "--backend=reference"]
    assert (record.state, record.iteration, record.max_iter) == ("finished", 4, 4)
    assert record.seed == 1
    assert record.images_per_iteration == 4
    assert record.score == {"output": "accuracy", "net": 0, "best": "max"}
    tests = [row.outputs["accuracy"] for row in read_metrics(Path("runs/solver-1")) if row.net == 0]
    assert record.best.value == pytest.approx(max(tests))
    assert record.best.iteration == 2 * tests.index(max(tests))
    assert (record.last.iteration, record.last.value) == (4, pytest.approx(tests[-1]))
    assert record.snapshot == {"weights": "s_iter_4.caffemodel", "state": "s_iter_4.solverstate"}
    assert "reference" in record.machine["computes_with"]


def test_settings_are_those_used(project, run):
    assert run(*TRAIN, "--level=3").code == 0
    folder = Path("runs/solver-1")
    solver = read_prototxt(folder / "solver.prototxt", SolverParameter).message
    assert solver.train_state.level == 3
    net = read_prototxt(folder / "train.prototxt", NetParameter).message
    assert [layer.name for layer in net.layer] == ["data", "ip", "loss"]


def test_runs_are_counted(project, run):
    for _ in range(2):
        assert run(*TRAIN).code == 0
    Path("runs/solver-9").mkdir()
    assert run(*TRAIN).code == 0
    assert [path.name for path in run_folders()] == ["solver-1", "solver-2", "solver-10"]
    assert run_name("a/lenet_solver.prototxt") == "lenet"
    assert run_name("_solver.prototxt") == "run"


def test_trainings_at_once_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = Path.mkdir
    raced = []

    def another_was_faster(path, *args, **kwargs):
        if path.name == "a-1" and not raced:
            raced.append(path)
            before(path)
        return before(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", another_was_faster)
    assert new_run_folder("a") == Path("runs/a-2")


def test_no_run(project, run):
    assert run(*TRAIN, "--no_run").code == 0
    assert not Path("runs").exists()


def test_a_folder_of_ones_own(project, run):
    assert run(*TRAIN, "--run=kept/first").code == 0
    assert read_record(Path("kept/first")).state == "finished"
    result = run(*TRAIN, "--run=kept/first")
    assert result.code == 2
    assert "--run=kept/first: the folder has a run already. Give a new one" in result.err
    assert run(*TRAIN, "--run=a", "--no_run").code == 2
    assert run(*TRAIN, "--run=net.prototxt/a").code == 1


def test_resuming_in_the_folder(project, run):
    """Later lines replace those of the same iterations, and time goes on."""
    solver_with(project, "snapshot: 2")
    assert run(*TRAIN, "--run=a").code == 0
    assert run(*TRAIN, "--run=a", "--snapshot=s_iter_2.solverstate").code == 0
    rows = read_metrics(Path("a"))
    assert [row.iteration for row in rows] == [0, 1, 2, 3]
    assert len(metrics("a")) == 6
    assert [row.seconds for row in rows] == sorted(row.seconds for row in rows)
    assert Path("a/log.txt").read_text().count("Starting Optimization") == 2


@pytest.mark.parametrize("where", ["runs", "runs/solver-1"])
def test_a_folder_that_cannot_be_created(project, run, monkeypatch, where):
    before = Path.mkdir

    def refuse(path, *args, **kwargs):
        if path == Path(where):
            raise PermissionError(13, "Permission denied", where)
        return before(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    result = run(*TRAIN)
    assert result.code == 0
    assert Path("s_iter_2.caffemodel").exists()
    assert result.errors == [
        "runs/ cannot be written: Permission denied. This training has no run folder; --run=DIR "
        "selects another place, --no_run none."
    ]


def test_a_full_disk_harms_the_folder_only(project, start):
    """The limit on file sizes lets the snapshots through, but not the log."""
    solver_with(project, "", max_iter=300)
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (9000, 9000))"
    process = start(*TRAIN, before=limit)
    err = process.stderr.read()
    assert process.wait() == 0
    assert "Traceback" not in err
    severe = [PREFIX.sub("", line) for line in err.splitlines() if line[0] in "WE"]
    assert len(severe) == 2
    assert "the log cannot be written: File too large. It ends here" in severe[0]
    assert severe[1] == (
        "runs/solver-1: the run folder is incomplete: File too large. The training goes on."
    )
    assert Path("s_iter_300.solverstate").exists()
    record = read_record(Path("runs/solver-1"))
    assert (record.state, record.iteration) == ("finished", 300)
    assert len(read_metrics(Path("runs/solver-1"))) > 10


def test_a_folder_that_is_removed_while_training(project, start):
    solver_with(project, "snapshot: 10", max_iter=10**8)
    process = start(*TRAIN)
    until(process, "Iteration 20, lr")
    shutil.rmtree("runs")
    until(process, "solver-1: the run folder is incomplete: No such file or directory. The train")
    until(process, r"Iteration \d+, lr")
    process.send_signal(signal.SIGINT)
    assert process.stderr.read().splitlines()[-1].endswith("Optimization Done.")
    assert process.wait() == 0
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("number", "state"), [(signal.SIGINT, "stopped"), (signal.SIGKILL, "killed")]
)
def test_a_run_that_is_ended(project, start, run, number, state):
    solver_with(project, "snapshot: 10 " + TESTED, max_iter=10**8)
    process = start(*TRAIN)
    until(process, "Iteration 20, lr")
    folder = Path("runs/solver-1")
    assert read_record(folder).state == "running"
    process.send_signal(number)
    process.stderr.read()
    process.wait()
    record = read_record(folder)
    assert record.state == state
    assert record.iteration >= 19
    assert record.last.iteration % 2 == 0
    assert weights_of(f"{folder}/last") == "runs/solver-1/last.caffemodel"
    lines = run("runs", "solver-1").out.splitlines()
    resume = next(line for line in lines if line.startswith("resume"))
    if state == "killed":
        assert resume.endswith(" minicaffe train solver.prototxt --resume=auto")
    else:
        assert resume.endswith(f" --snapshot=s_iter_{record.iteration}.solverstate")
        assert Path(f"s_iter_{record.iteration}.solverstate").exists()


def test_a_training_that_fails(project, run):
    """One that began keeps its folder; one that did not leaves none."""
    solver_with(project, "", max_iter=9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minicaffe.solver.display.Display.show", fails)
        assert run(*TRAIN).code == 1
    assert not Path("runs").exists()
    project.write(net=project.net.replace("num_output: 5", "num_output: 4"))
    assert run(*TRAIN).code == 1
    record = read_record(Path("runs/solver-1"))
    assert record.state == "failed"
    assert "label 4" in record.error
    assert "label 4" in Path("runs/solver-1/log.txt").read_text().splitlines()[-1]


def fails(*args):
    raise DataError("before the first update")


def test_numbers_that_json_lacks(project, run):
    solver = project.solver.replace("0.01", "1e38").replace("max_iter: 2", "max_iter: 6")
    project.write(solver=solver + "snapshot_after_train: false")
    run(*TRAIN)
    rows = [
        json.loads(line, parse_constant=fails)
        for line in Path("runs/solver-1/metrics.jsonl").read_text().splitlines()
    ]
    assert rows[-1]["loss"] is None


def test_a_damaged_line_is_left_out(project, run):
    assert run(*TRAIN).code == 0
    path = Path("runs/solver-1/metrics.jsonl")
    path.write_text(path.read_text()[:-20])
    assert [row.iteration for row in read_metrics(path.parent)] == [0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_for_trained_weights_takes_a_run(command):
    parser = argparse.ArgumentParser(add_help=False)
    flags_of(command).add_to(parser)
    given = [a for a in parser._actions if a.dest in ("weights", "pretrained_model")]
    assert all(action.type is weights_files for action in given)


def test_weights_of_runs(project, run):
    assert run(*TRAIN).code == 0
    last = "runs/solver-1/last.caffemodel"
    assert weights_of("runs/solver-1") == weights_of("runs/solver-1/last") == last
    assert weights_of("s_iter_2.caffemodel") == "s_iter_2.caffemodel"
    assert weights_of("no/best") == "no/best"
    with pytest.raises(DataError, match=r"no best: train with --keep_best=OUTPUT. It has last."):
        weights_of("runs/solver-1/best")
    score = run("test", "--model=net.prototxt", "--weights=s_iter_2.caffemodel", "--iterations=1")
    same = run("test", "--model=net.prototxt", f"--weights={last}", "--iterations=1")
    assert same.messages[-2:] == score.messages[-2:]
    assert run("test", "--model=net.prototxt", "--weights=runs/solver-1/best").code == 1
    # A later training of the same prefix replaces the snapshot, not what the run has kept.
    kept = Path(last).read_bytes()
    assert run(*TRAIN, "--stage=b", "--weights=runs/solver-1").code == 0
    assert Path("s_iter_2.caffemodel").read_bytes() != kept
    assert Path(last).read_bytes() == kept


def test_weights_of_hdf5(project, run):
    project.write(solver=project.solver + "snapshot_format: HDF5")
    assert run(*TRAIN).code == 0
    assert weights_of("runs/solver-1") == "runs/solver-1/last.caffemodel.h5"
    project.write(solver=project.solver + "snapshot_after_train: false")
    assert run(*TRAIN).code == 0
    with pytest.raises(DataError, match=r"has no best and no last. It has written no snapshot"):
        weights_of("runs/solver-2")


def test_runs_are_listed(project, run):
    assert "has no runs" in run("runs").out
    solver_with(project, TESTED)
    assert run(*TRAIN).code == 0
    assert run(*TRAIN, "--run=runs/한글").code == 0
    Path("runs/damaged").mkdir()
    Path("runs/damaged/run.json").write_text("{")
    result = run("runs")
    head, first, second = result.out.splitlines()
    assert head.split() == ["name", "state", "iterations", "score", "best", "last", "time", "date"]
    assert first.split()[:4] == ["solver-1", "finished", "4/4", "accuracy"]
    assert second.startswith("한글      finished")
    assert len(result.errors) == 1
    assert "runs/damaged/run.json: damaged" in result.errors[0]
    assert "Did you mean solver-1?" in run("runs", "solvr-1").err


def test_runs_are_compared(project, run):
    solver_with(project, TESTED)
    assert run(*TRAIN, "--backend=reference").code == 0
    wider = project.net.replace("num_output: 5", "num_output: 7")
    wider += 'layer { name: "drop" type: "Dropout" bottom: "ip" top: "drop" }'
    solver = project.solver.replace("0.01", "0.02").replace("max_iter: 2", "max_iter: 4")
    project.write(net=wider, solver=f"{solver}{TESTED} stepvalue: 3 stepvalue: 4")
    assert run(*TRAIN, "--backend=reference").code == 0
    rows = [line.split() for line in run("runs", "solver-1", "runs/solver-2").out.splitlines()]
    assert rows[0] == ["solver-1", "solver-2"]
    assert ["base_lr", "0.01", "0.02"] in rows
    assert ["stepvalue", "-", "3,", "4"] in rows
    assert ["net.layer[ip].inner_product_param.num_output", "5", "7"] in rows
    assert ["net.layer[drop]", "-", '"Dropout"'] in rows
    names = [row[0] for row in rows[1:]]
    assert not [name for name in names if name.startswith(("net.layer[drop].", "test-0"))]
    assert "max_iter" not in names
    assert names.index("state") > names.index("base_lr")
    assert {"best", "last", "time"} <= set(names)


def test_plot_and_parse_log_read_a_run(project, run):
    pytest.importorskip("matplotlib")
    for _ in range(2):
        assert run(*TRAIN).code == 0
    assert run("plot", "runs/solver-1", "runs/solver-2", "--output=both.svg").code == 0
    assert "solver-2: train loss" in Path("both.svg").read_text()
    assert run("parse_log", "runs/solver-1", ".").code == 0
    assert Path("solver-1.train").read_text().startswith("NumIters,Seconds,LearningRate,loss\n0.0")


def test_a_line_of_metrics_is_there_at_once(project, start):
    solver_with(project, "", max_iter=10**8)
    process = start(*TRAIN)
    until(process, "Iteration 3, lr")
    deadline = time.monotonic() + 30
    while len(metrics("runs/solver-1")) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert metrics("runs/solver-1")[3]["iteration"] == 3


def events(folder):
    """Return the records of an event file, checked by another implementation of the checksum."""
    (path,) = Path(folder).glob("events.out.tfevents.*")
    content, found = path.read_bytes(), []
    while content:
        (n,) = struct.unpack("<Q", content[:8])
        assert masked_crc32c(content[:8]) == content[8:12]
        data = content[12 : 12 + n]
        assert masked_crc32c(data) == content[12 + n : 16 + n]
        found.append(data)
        content = content[16 + n :]
    return found


def masked_crc32c(data):
    """Divide bit by bit, as RFC 3720, appendix B.4 describes CRC-32C."""
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            carry = (crc ^ byte >> bit) & 1
            crc = crc >> 1 ^ (0x82F63B78 if carry else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def test_events_for_tensorboard(project, run):
    solver_with(project, TESTED)
    assert run(*TRAIN, "--tensorboard").code == 0
    first, *rest = events("runs/solver-1")
    assert first.endswith(b"\x1a\x0dbrain.Event:2")
    assert len(rest) == len(metrics("runs/solver-1"))
    test, train = rest[:2]
    assert b"test/accuracy" in test
    assert b"train/lr\x15" + struct.pack("<f", 0.01) in train
    assert test[9:11] == b"\x10\x00"  # the step
    assert rest[-1][9:11] == b"\x10\x04"
    assert run(*TRAIN, "--tensorboard", "--no_run").code == 2


def test_the_checksum():
    # RFC 3720, appendix B.4: 32 bytes of zeros have the CRC AA 36 91 8A (bytes in their order)
    crc = int.from_bytes(bytes.fromhex("aa36918a"), "little")
    masked = struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)
    assert masked_crc32c(bytes(32)) == masked
