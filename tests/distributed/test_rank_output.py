"""minicaffe under mpiexec: what each rank prints, and how an error of one rank ends all."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from data_folders import write_small_database
from mpi_ranks import TIMEOUT_S, run_ranks_of_python, start_ranks

FOREVER = ("--max_iter=100000000", "--set", "display=0")
MOST_SECONDS = 10  # between the death of a rank and the end of the job

NET = """layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { scale: 0.004 } data_param { source: "lmdb" batch_size: 4 backend: LMDB } }
layer { name: "faulty" type: "Python" bottom: "label" top: "faulty"
  python_param { module: "faulty" layer: "Faulty" } }
layer { name: "silence" type: "Silence" bottom: "faulty" }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 6 display: 3
snapshot_after_train: false random_seed: 1"""
LAYER = """import os, sys, threading
import caffe

class Faulty(caffe.Layer):
    k = 0
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(1)
    def backward(self, *args): pass
    def forward(self, bottom, top):
        self.k += 1
        if self.k == 3 and os.environ["PMI_RANK"] in os.environ["RANKS"]:
            exec(os.environ["FAULT"])
"""


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_small_database((1, 6, 7))
    for name, text in (("net", NET), ("solver", SOLVER)):
        Path(f"{name}.prototxt").write_text(text)
    Path("faulty.py").write_text(LAYER)


def minicaffe(n, *argv, fault="pass", ranks="", **options):
    return run_ranks_of_python(n, "-m", "minicaffe", *argv, FAULT=fault, RANKS=ranks, **options)


def train(n, *flags, **options):
    return minicaffe(n, "train", "--solver=solver.prototxt", "--no_run", *flags, **options)


def severe(err):
    return [
        line.partition("] ")[2] for line in err.splitlines() if re.match("[WEF][0-9]{4} ", line)
    ]


def test_rank_0_prints():
    code, out, err = train(2, "--log_dir=logs", fault="print('said')", ranks="01")
    assert code == 0
    assert out == "said\n"  # of rank 0
    assert len(re.findall(r"Iteration 3 \(", err)) == 1
    assert severe(err) == []
    logs = sorted(path.name for path in Path("logs").iterdir() if path.is_symlink())
    assert logs == ["minicaffe-train.INFO", "minicaffe-train.rank1.INFO"]
    assert all("Starting Optimization" in (Path("logs") / name).read_text() for name in logs)


def test_warnings_of_other_ranks_are_marked():
    warn = "from minicaffe.log import logger; logger.info('a'); logger.warning('odd')"
    code, _, err = train(3, fault=warn, ranks="02")
    assert code == 0
    assert sorted(severe(err)) == ["[rank 2] odd", "odd"]
    assert err.count("] a\n") == 1


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (
            ["summarize", "net.prototxt"],
            2,
            "mpiexec started 2 processes, but summarize runs in one",
        ),
        (["train", "--solver=x.prototxt"], 1, "x.prototxt: no such file"),
        (["train", "--solvr=x"], 2, "no flag --solvr"),
        (["trian"], 2, "minicaffe: no command trian"),
    ],
)
def test_an_error_of_all_ranks_is_printed_once(argv, code, message):
    found, out, err = minicaffe(2, *argv)
    assert (found, out) == (code, "")
    assert err.count(message) == 1, err
    assert "Abort" not in err  # all ranks ended by themselves


def test_version_is_printed_once():
    code, out, err = minicaffe(2, "--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"minicaffe [\d.]+\n", out)


@pytest.mark.parametrize(
    ("fault", "expected_code", "reason"),
    [
        (
            "raise ValueError('bad')",
            1,
            'ValueError: bad. net.prototxt:3, layer "faulty" (Python): ',
        ),
        ("sys.exit(5)", 5, "stopped by SystemExit(5)"),
        ("sys.exit(0)", 1, "stopped by SystemExit(0)"),
        (
            "threading.Thread(target=lambda: 1 / 0, name='w').start(); threading.Event().wait()",
            1,
            "thread w: unexpected ZeroDivisionError: division by zero",
        ),
    ],
    ids=["exception", "exit", "exit 0", "thread"],
)
def test_an_error_of_one_rank_ends_all(fault, expected_code, reason):
    code, _, err = train(2, *FOREVER, fault=fault, ranks="1")
    assert code == expected_code
    errors = [text for text in severe(err) if "rank" in text]
    assert len(errors) == 1, err
    assert re.match(r"rank 1 on \S+: " + re.escape(reason), errors[0]), errors


def test_a_killed_rank_ends_all():
    process = start_ranks(
        2,
        *("-m", "minicaffe", "train", "--solver=solver.prototxt", "--no_run"),
        *FOREVER,
        FAULT="open('pid', 'w').write(str(os.getpid())); os.rename('pid', 'ready')",
        RANKS="1",
    )
    deadline = time.monotonic() + TIMEOUT_S
    while not Path("ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int(Path("ready").read_text()), signal.SIGKILL)
    process.communicate(timeout=MOST_SECONDS)
    assert process.returncode == signal.SIGKILL


def test_a_slow_rank_is_named():
    code, _, err = train(2, fault="import time; time.sleep(2)", ranks="1")
    assert code == 0
    found = re.findall(r"\]     (Waited for rank .*)", err)
    assert len(found) == 1, err
    assert re.fullmatch(r"Waited for rank 1 on \S+ \d+% of the time", found[0])


def test_ctrl_c_reaches_all_ranks():
    process = start_ranks(
        2,
        *("-m", "minicaffe", "train", "--solver=solver.prototxt", "--no_run"),
        *(*FOREVER, "--log_dir=logs"),
        FAULT="open('ready' + os.environ['PMI_RANK'], 'w').close()",
        RANKS="01",
    )
    deadline = time.monotonic() + TIMEOUT_S
    while len(list(Path().glob("ready*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    for name in ("minicaffe-train.INFO", "minicaffe-train.rank1.INFO"):
        assert "Optimization stopped early." in (Path("logs") / name).read_text()
