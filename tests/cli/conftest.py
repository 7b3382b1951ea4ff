import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from log_lines import PREFIX

from minicaffe.cli.main import main
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database

NET = """name: "small"
layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { scale: 0.004 } data_param { source: "lmdb" batch_size: 4 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt"
base_lr: 0.01
lr_policy: "fixed"
max_iter: 2
display: 1
snapshot_prefix: "s"
random_seed: 1
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working directory with lmdb, net.prototxt and solver.prototxt; yields its net and solver.

    ``project.write(net=..., solver=...)`` writes them anew.
    """
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    with create_database("lmdb", "LMDB") as db:
        for i in range(11):
            db.put(
                b"%08d" % i, encode_datum(rng.integers(0, 256, (1, 6, 7), dtype=np.uint8), i % 5)
            )

    def write(net=NET, solver=SOLVER):
        Path("net.prototxt").write_text(net)
        Path("solver.prototxt").write_text(solver)

    write()
    return SimpleNamespace(net=NET, solver=SOLVER, write=write)


@pytest.fixture
def run(capfd):
    """A function that runs the command line: exit code and what it printed."""

    def run_main(*argv):
        capfd.readouterr()
        try:
            code = main(list(argv))
        except SystemExit as end:  # --help and --version leave this way
            code = end.code
        out, err = capfd.readouterr()
        lines = err.splitlines()
        severe = [line for line in lines if PREFIX.match(line) and line[0] in "WEF"]
        return SimpleNamespace(
            code=code,
            out=out,
            err=err,
            messages=[PREFIX.sub("", line) for line in lines],
            errors=[PREFIX.sub("", line) for line in severe],
            plain=[line for line in lines if not PREFIX.match(line)],
        )

    return run_main


@pytest.fixture
def log(tmp_path, monkeypatch, caplog_minicaffe):
    """Run in an empty folder; the log's messages."""
    monkeypatch.chdir(tmp_path)
    return caplog_minicaffe


@pytest.fixture
def start():
    """A function that starts the command line in a process; killed at the end if it still runs."""
    processes = []

    def start_process(*argv, before="", **options):
        code = f"import sys; {before}\nfrom minicaffe.cli.main import main; sys.exit(main())"
        options.setdefault("stderr", subprocess.PIPE)
        command = [sys.executable, "-c", code, *argv]
        processes.append(subprocess.Popen(command, text=True, **options))
        return processes[-1]

    yield start_process
    for process in processes:
        process.kill()
        process.communicate()
