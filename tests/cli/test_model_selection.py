"""Keeping the best weights and the last snapshots, early stopping, resuming by itself."""

import signal
from pathlib import Path

import pytest
from log_lines import until

import caffe
from minicaffe.runs import weights_of
from minicaffe.runs.metrics import read_metrics
from minicaffe.runs.record import read_record
from minicaffe.runs.summary import summary_lines

RUN = Path("runs/solver-1")
# Eleven batches of four are four times the eleven records, so that each test reads the same.
TESTED = ["--set=test_iter=11", "--set=test_interval=2"]
TRAIN = ["train", "solver.prototxt", *TESTED]
NO_PROGRESS = "--set=base_lr=0"


def files(pattern="s_iter_*.caffemodel"):
    return sorted(path.name for path in Path().glob(pattern))


@pytest.mark.parametrize(
    ("output", "best"), [("loss", min), ("loss:max", max), ("accuracy", max), ("accuracy:min", min)]
)
def test_the_best_weights_are_kept(project, run, output, best):
    flags = ["--set=snapshot=2", "--max_iter=8", "--set=base_lr=0.3"]
    assert run(*TRAIN, f"--keep_best={output}", *flags).code == 0
    record = read_record(RUN)
    name = output.partition(":")[0]
    rows = [r for r in read_metrics(RUN) if r.kind == "test"]
    values = [row.outputs[name] for row in rows]
    assert record.best.value == pytest.approx(best(values), rel=1e-5)
    assert record.best.weights == str(RUN / "best.caffemodel")
    if record.best.iteration:
        snapshot = Path(f"s_iter_{record.best.iteration}.caffemodel")
        assert Path(weights_of(f"{RUN}/best")).read_bytes() == snapshot.read_bytes()
    assert weights_of(str(RUN)) == str(RUN / "best.caffemodel")
    assert f"{RUN}/best.caffemodel" in "\n".join(summary_lines(record, RUN, ["predict"]))
    score = run(
        "test", f"--model={RUN}/test-0.prototxt", f"--weights={RUN}/best", "--iterations=11"
    )
    (line,) = [m for m in score.messages if m.startswith(f"{name} = ")]
    assert float(line.split()[2]) == pytest.approx(record.best.value, rel=1e-5)


def test_without_a_run_folder(project, run):
    result = run(*TRAIN, "--keep_best=loss", "--no_run", "--set=snapshot_format=HDF5")
    assert result.code == 0
    assert Path("s_best.caffemodel.h5").exists()
    assert any(
        m.startswith("Kept the weights of iteration 0, loss = ")
        and m.endswith(" in s_best.caffemodel.h5")
        for m in result.messages
    )


def test_settings_in_the_solver_file(project, run):
    settings = "test_iter: 11 test_interval: 2 keep_best: 'loss' patience: 2 base_lr: 0"
    text = project.solver.replace("max_iter: 2", "max_iter: 90").replace("base_lr: 0.01", settings)
    project.write(solver=text)
    solver = caffe.get_solver("solver.prototxt")
    solver.step(6)  # a loop of steps would never end if patience ended them
    assert solver.iter == 6
    assert Path("s_best.caffemodel").exists()
    solver = caffe.get_solver("solver.prototxt")
    solver.solve()
    assert solver.iter == 4


WRONG = [
    ("--keep_best=acuracy", '--keep_best=acuracy: keep_best: "acuracy": no test net has an output'),
    ("--keep_best=loss:mx", 'has an output "loss:mx" that is one number. Did you mean loss?'),
    ("--set=patience=-1", "--set patience=-1: patience: -1; it must not be negative"),
    ("--set=keep_last=-1", "--set keep_last=-1: keep_last: -1; it must not be negative"),
]


@pytest.mark.parametrize(("flag", "message"), WRONG)
def test_wrong_settings(project, run, flag, message):
    result = run(*TRAIN, flag)
    assert result.code == 1
    assert message in result.errors[0]


@pytest.mark.parametrize("field", ["keep_best", "patience"])
def test_nothing_is_tested(project, run, field):
    result = run("train", "solver.prototxt", f"--{field}={'loss' if field == 'keep_best' else 3}")
    assert result.code == 1
    assert f"{field} needs a test with an output that is one number. Set test_iter" in result.err


def test_early_stopping(project, run):
    """Resumed, it ends at the same test; with more patience, it goes on from there."""
    result = run(*TRAIN, "--patience=2", NO_PROGRESS, "--max_iter=90")
    assert result.code == 0
    assert any(
        m.startswith("Stopping early: no better test in 2 tests (patience: 2). The best is iter")
        for m in result.messages
    )
    assert files() == ["s_iter_4.caffemodel"]
    record = read_record(RUN)
    assert (record.state, record.iteration) == ("finished", 4)
    assert not [x for x in summary_lines(record, RUN, []) if x.startswith(("go on", "resume"))]
    flags = [*TRAIN, NO_PROGRESS, "--max_iter=90", "--snapshot=s_iter_4.solverstate"]
    assert run(*flags, "--patience=2").code == 0
    assert files() == ["s_iter_4.caffemodel"]
    assert run(*flags, "--patience=4").code == 0
    assert files() == ["s_iter_4.caffemodel", "s_iter_8.caffemodel"]


def test_a_resumed_training_selects_as_an_undisturbed_one(project, run):
    flags = ["--max_iter=12", "--set=base_lr=0.3", "--keep_best=accuracy", "--patience=4"]
    assert run(*TRAIN, *flags, "--set=snapshot=3").code == 0
    whole = read_record(RUN)
    kept = (RUN / "best.caffemodel").read_bytes()
    resumed = [*flags, "--snapshot=s_iter_6.solverstate", "--run=b"]
    assert run(*TRAIN, *resumed).code == 0
    record = read_record(Path("b"))
    assert (record.best.iteration, record.best.value) == (whole.best.iteration, whole.best.value)
    assert record.iteration == whole.iteration
    if record.best.weights:
        assert Path(record.best.weights).read_bytes() == kept


def test_the_best_of_the_run_that_is_resumed(project, run):
    """It is taken over, unless the file has been replaced since."""
    flags = ["--keep_best=loss", NO_PROGRESS]
    assert run(*TRAIN, *flags).code == 0
    kept = (RUN / "best.caffemodel").read_bytes()
    more = [*flags, "--snapshot=s_iter_2.solverstate", "--max_iter=4"]
    assert run(*TRAIN, *more).code == 0
    assert Path("runs/solver-2/best.caffemodel").read_bytes() == kept
    (RUN / "best.caffemodel").write_bytes(kept)
    assert run(*TRAIN, *more).code == 0
    assert not Path("runs/solver-3/best.caffemodel").exists()
    assert read_record(Path("runs/solver-3")).best.iteration == 0


def test_weights_that_cannot_be_kept(project, run):
    """Training goes on, and the exit code says so."""
    Path("a/best.caffemodel").mkdir(parents=True)
    result = run(*TRAIN, "--keep_best=loss", "--run=a")
    assert result.code == 1
    assert "a/best.caffemodel cannot be written: " in result.errors[1]
    assert result.errors[1].endswith(" Training goes on.")
    assert Path("s_iter_2.caffemodel").exists()
    assert read_record(Path("a")).state == "failed"


def test_the_last_snapshots_are_kept(project, run):
    Path("s_iter_1.caffemodel").write_bytes(b"of another training")
    Path("s_iter_1.solverstate").write_bytes(b"")
    result = run("train", "solver.prototxt", "--keep_last=2", "--set=snapshot=2", "--max_iter=9")
    assert result.code == 0
    assert files() == ["s_iter_1.caffemodel", "s_iter_8.caffemodel", "s_iter_9.caffemodel"]
    assert files("s_iter_*.solverstate*") == [
        *("s_iter_1.solverstate", "s_iter_8.solverstate", "s_iter_8.solverstate.json"),
        *("s_iter_9.solverstate", "s_iter_9.solverstate.json"),
    ]


def test_snapshots_before_resuming_count(project, run):
    train = ["train", "solver.prototxt", "--set=snapshot=2", "--keep_last=2"]
    assert run(*train, "--max_iter=4").code == 0
    assert run(*train, "--max_iter=6", "--resume=auto").code == 0
    assert files() == ["s_iter_4.caffemodel", "s_iter_6.caffemodel"]
    # named by hand, they are somebody else's
    assert run(*train, "--max_iter=10", "--snapshot=s_iter_6.solverstate").code == 0
    assert files() == [
        *("s_iter_10.caffemodel", "s_iter_4.caffemodel", "s_iter_6.caffemodel"),
        "s_iter_8.caffemodel",
    ]


def test_resuming_from_the_newest(project, run):
    train = ["train", "solver.prototxt", "--resume=auto", "--set=snapshot=1"]
    result = run(*train, "--max_iter=3")
    assert result.code == 0
    assert "There is no snapshot s_iter_N.solverstate to resume from." in result.messages
    Path("s_iter_3.caffemodel").unlink()  # an incomplete one
    Path("s_iter_9.caffemodel").touch()
    result = run(*train, "--max_iter=11")
    assert "Resuming from s_iter_2.solverstate" in result.messages
    result = run(*train, "--max_iter=12")
    assert "Resuming from s_iter_11.solverstate" in result.messages
    assert read_record(Path("runs/solver-3")).first_iteration == 11


def test_weights_to_begin_with_count_until_there_is_a_snapshot(project, run):
    assert run("train", "solver.prototxt", "--set=snapshot_prefix=a").code == 0
    train = ["train", "solver.prototxt", "--resume=auto", "--weights=a_iter_2.caffemodel"]
    assert "Finetuning from a_iter_2.caffemodel" in run(*train).messages
    again = run(*train, "--max_iter=4").messages
    assert "Resuming from s_iter_2.solverstate" in again
    assert "Finetuning from a_iter_2.caffemodel" not in again


def test_a_killed_training_that_is_started_again(project, start, run):
    """In its own folder, as a cluster does that restarts commands."""
    flags = ["--run=a", "--resume=auto", "--set=snapshot=5", "--keep_best=loss"]
    process = start(*TRAIN, *flags, "--max_iter=100000000")
    until(process, "Iteration 20, lr")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run(*TRAIN, *flags, "--max_iter=30").code == 0
    record = read_record(Path("a"))
    assert (record.state, record.iteration) == ("finished", 30)
    assert record.first_iteration >= 15
    iterations = [row.iteration for row in read_metrics(Path("a"))]
    assert iterations == sorted(iterations)
    assert Path("a/best.caffemodel").exists()
