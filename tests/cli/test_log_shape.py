"""train, test and time print what Caffe printed, line by line; third-party parsers read it.

golden/lenet holds the logs of BVLC Caffe 1.0 (git 9b89154, CPU) for LeNet on Fashion-MNIST.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from log_lines import PREFIX
from terminals import on_terminal

from minicaffe.backends import get_backend
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.schema import NetParameter, SolverParameter, format_prototxt, parse_prototxt

GOLDEN = Path(__file__).parents[1] / "golden" / "lenet"
FOLDER = Path("examples/mnist")


def golden_messages(name):
    """Return the messages of one of Caffe's logs, those of several lines whole."""
    text = "\n" + (GOLDEN / name).read_text()
    return [m.removesuffix("\n") for m in re.split(rf"\n{PREFIX.pattern}", text)[2::2]]


def messages_of(err):
    text = "\n" + err
    return [m.removesuffix("\n") for m in re.split(rf"\n{PREFIX.pattern}", text)[2::2]]


# Lines of our log that Caffe's log does not have.
OURS = [f"Computing with {get_backend(name).description}." for name in ("auto", "reference")]


def normal(messages):
    """Drop what legitimately differs: numbers that training made, times, and data starting over.

    Caffe logs a second "Creating layer loss" for the loss layer's inner softmax, and an empty
    stage for an empty --stage flag; we have neither. We add the line that names the backend.
    """
    text = [re.sub(r'\n\s+stage: ""', "", m) for m in messages]
    text = [re.sub(r"((?:accuracy|loss) =|Initial loss:|Loss:) [-\d.e]+", r"\1 #", m) for m in text]
    text = [re.sub(r"\(\* 1 = [-\d.e]+ loss\)", "(* 1 = # loss)", m) for m in text]
    text = [re.sub(r"\([-\d.e]+ iter/s, [-\d.e]+s/", "(# iter/s, #s/", m) for m in text]
    text = [re.sub(r"[-\d.e]+ ms\.", "# ms.", m) for m in text]
    once = [m for i, m in enumerate(text) if not (m == "Creating layer loss" and inner(text, i))]
    return [m for m in once if m not in OURS and m != "Restarting data prefetching from start."]


def inner(text, i):
    return text[i - 1] == "loss -> loss"


def scaled(messages):
    """Caffe's log as if each of its hundred iterations were one."""
    text = [re.sub(r"(Iteration \d+)00\b", r"\1", m) for m in messages]
    text = [re.sub(r"(_iter_\d+)00\b", r"\1", m) for m in text]
    text = [m.replace("s/100 iters", "s/1 iters") for m in text]
    for field in ("test_iter", "test_interval", "display"):
        text = [m.replace(f"\n{field}: 100", f"\n{field}: 1") for m in text]
    text = [re.sub(r"\n(max_iter|snapshot): (\d)00", r"\n\1: \2", m) for m in text]
    return [m.replace("gamma: 0.0001", "gamma: 0.01") for m in text]


@pytest.fixture
def lenet(tmp_path, monkeypatch):
    """The files that Caffe's run read, with small databases and a solver of a hundredth."""
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir(parents=True)
    log = scaled(golden_messages("train.log"))
    solver = next(m for m in log if m.startswith("Initializing solver")).split("\n", 1)[1]
    nets = [m.split("\n", 1)[1] for m in log if m.startswith("Initializing net")]
    train, test = (parse_prototxt(net, NetParameter).message for net in nets)
    rng = np.random.default_rng(0)
    for layer in (train.layer[0], test.layer[0]):
        with create_database(layer.data_param.source, "LMDB") as db:
            for i in range(layer.data_param.batch_size):
                image = rng.integers(0, 256, (1, 28, 28), dtype=np.uint8)
                db.put(b"%08d" % i, encode_datum(image, i % 10))
    both = NetParameter(name=train.name)
    accuracy = next(layer for layer in test.layer if layer.type == "Accuracy")
    both.layer.extend(
        [train.layer[0], test.layer[0], *train.layer[1:-1], accuracy, train.layer[-1]]
    )
    (FOLDER / "lenet_train_test.prototxt").write_text(format_prototxt(both))
    param = parse_prototxt(solver, SolverParameter).message
    param.ClearField("train_state")
    (FOLDER / "lenet_solver.prototxt").write_text(format_prototxt(param))
    return FOLDER


def test_train(lenet, run):
    result = run("train", f"--solver={lenet}/lenet_solver.prototxt", "--backend=reference")
    assert result.code == 0
    wanted = normal(scaled(golden_messages("train.log")))
    # The rate is Caffe's to the last digit, as gamma is a hundred times larger.
    assert [m for m in wanted if ", lr = " in m][2] == "Iteration 2, lr = 0.00985258"
    assert normal(messages_of(result.err)) == wanted
    check_parsers(result.err)


def check_parsers(err):
    """Hold the log to what parse_log.py, parse_log.sh and DIGITS match (in our own words)."""
    lines = err.splitlines()
    digits = re.compile(r"\w\d{4} \S{8}.*\]\s+(\S.*)$")
    heads = [m.group(1) for line in lines if (m := digits.match(line))]
    assert sum(bool(re.match(r"Iteration (\d+), Testing", head)) for head in heads) == 4
    assert sum(bool(re.match(r"Iteration (\d+).*lr = [\d.e-]+$", head)) for head in heads) == 3
    outputs = [re.search(r"(Train|Test) net output #(\d+): (\S+) = ([.\deE+-]+)", x) for x in lines]
    assert [m.group(1, 2, 3) for m in outputs if m][:3] == [
        ("Test", "0", "accuracy"),
        ("Test", "1", "loss"),
        ("Train", "0", "loss"),
    ]
    taken = [i for i, head in enumerate(heads) if re.match(r"Snapshotting to (.*)", head)]
    assert all(heads[i + 1].startswith("Snapshotting solver state") for i in taken)
    assert any(re.match(r"Memory required for data:\s+(\d+)", head) for head in heads)
    assert sum("] Solving " in line for line in lines) == 1
    # parse_log.sh counts words: the value of a test output is the eleventh.
    test_line = next(line for line in lines if "Test net output #0" in line)
    assert float(test_line.split()[10])
    rate_line = next(line for line in lines if "lr = " in line)
    assert float(rate_line.split()[8]) == 0.01


@pytest.fixture
def trained(lenet, run):
    assert run("train", f"--solver={lenet}/lenet_solver.prototxt").code == 0
    return lenet


def test_test(trained, run):
    model, weights = f"{trained}/lenet_train_test.prototxt", f"{trained}/lenet_iter_3.caffemodel"
    result = run("test", f"--model={model}", f"--weights={weights}", "--iterations=3")
    wanted = normal(golden_messages("test.log"))
    few = [m for m in wanted if not re.match(r"Batch ([3-9]|\d\d), ", m)]
    few = [m.replace("Running for 100", "Running for 3") for m in few]
    assert normal(messages_of(result.err)) == few


def test_time(trained, run):
    result = run("time", f"--model={trained}/lenet_train_test.prototxt", "--iterations=1")
    found = normal(messages_of(result.err))
    wanted = normal(golden_messages("time.log"))
    assert found[-len(wanted) :] == [m.replace("Iteration: 20", "Iteration: 1") for m in wanted]
    at = found.index("*** Benchmark begins ***")
    assert found[at - 3 : at + 2] == [
        "Performing Forward",
        "Initial loss: #",
        "Performing Backward",
        "*** Benchmark begins ***",
        "Testing for 1 iterations.",
    ]


def test_shared_memory_changes_no_score(trained, run):
    model, weights = f"{trained}/lenet_train_test.prototxt", f"{trained}/lenet_iter_3.caffemodel"
    given = ("test", f"--model={model}", f"--weights={weights}", "--iterations=2")
    apart, shared = run(*given), run(*given, "--optimize_memory")
    # The prefetching thread logs this at any moment.
    ours, theirs = (
        [m for m in messages_of(result.err) if m != "Restarting data prefetching from start."]
        for result in (shared, apart)
    )
    assert ours == theirs


def test_training_with_shared_memory_saves_the_same_weights(lenet, run):
    files = {}
    for flags in ([], ["--optimize_memory"]):
        given = f"--solver={lenet}/lenet_solver.prototxt", "--set=random_seed=5"
        result = run("train", *given, *flags)
        assert result.code == 0
        lines = [m for m in messages_of(result.err) if "values and gradients of the blobs" in m]
        assert len(lines) == len(flags)
        for kind in ("caffemodel", "solverstate"):
            content = Path(f"{lenet}/lenet_iter_3.{kind}").read_bytes()
            assert files.setdefault(kind, content) == content


def test_a_training_net_with_shared_memory_is_timed_in_both_directions(trained, run):
    model = f"{trained}/lenet_train_test.prototxt"
    result = run("time", f"--model={model}", "--iterations=1", "--optimize_memory")
    assert result.code == 0
    assert any(m.startswith("Average Backward pass: ") for m in messages_of(result.err))


def test_a_net_with_shared_memory_is_timed_forward(trained, run):
    model = f"{trained}/lenet_train_test.prototxt"
    result = run("time", f"--model={model}", "--phase=TEST", "--iterations=1", "--optimize_memory")
    found = messages_of(result.err)
    after = found[found.index("Performing Forward") :]
    assert not any("ackward" in m for m in after if not m.startswith("Iteration: 1 forward-"))
    assert any(m.startswith("Average Forward pass: ") for m in after)


def test_log_dir_holds_what_stderr_shows(project, run):
    result = run("train", "--solver=solver.prototxt", "--log_dir=logs")
    (file,) = (p for p in Path("logs").iterdir() if not p.is_symlink())
    assert file.read_text() == result.err
    assert re.fullmatch(r"minicaffe-train\..+\..+\.log\.INFO\.\d{8}-\d{6}\.\d+", file.name)
    assert Path("logs/minicaffe-train.INFO").resolve() == file.resolve()
    assert run("train", "--solver=solver.prototxt").code == 0
    assert file.read_text() == result.err


def test_min_log_level(project, run, monkeypatch):
    assert run("train", "--solver=solver.prototxt", "--minloglevel=1").err == ""
    monkeypatch.setenv("GLOG_minloglevel", "1")
    assert run("train", "--solver=solver.prototxt").err == ""
    result = run("train", "--solver=no")
    assert len(result.err.splitlines()) == len(result.errors) == 1


@pytest.mark.parametrize("columns", [40, 200])
def test_progress_line_on_a_terminal(project, columns):
    """Log lines are unchanged on the terminal, and the progress line is not in the log."""
    project.write(solver=project.solver.replace("max_iter: 2", "max_iter: 30"))
    shown, code = on_terminal(
        ["train", "--solver=solver.prototxt", "--log_dir=logs", "--log"], columns
    )
    assert code == 0
    log = Path("logs/minicaffe-train.INFO").read_text()
    assert "█" not in log
    assert ("░" in shown) is (columns >= 60)
    assert f"/{30}  " in shown
    without_control = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown)
    lines = [line.split("\r")[-1] for line in without_control.replace("\r\n", "\n").split("\n")]
    repeated = "Restarting data prefetching"  # is shown once a minute on a terminal
    left_out = [line for line in log.splitlines() if line not in lines]
    assert [line for line in left_out if repeated not in line] == []
    assert sum(repeated in line for line in lines) == 1
    assert max(map(len, log.splitlines())) > 60
    # Gone when training ends: nothing but the last log line and the summary follow its erasure.
    _, _, summary = without_control.replace("\r\n", "\n").rpartition("Optimization Done.\n\n")
    assert re.match(r"run +runs/solver-1 finished\niterations +30 of 30 in 0:0", summary)
    assert "░" not in summary


def test_no_progress_line_off_a_terminal(project, run):
    assert "it/s" not in run("train", "--solver=solver.prototxt").err
