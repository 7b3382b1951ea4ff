"""docs/check.md shows the report of LeNet, and findings as they are printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from minicaffe.cli.main import main
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "check.md").read_text("utf-8")
COMMAND, REPORT, FINDINGS = re.findall(r"^```\n(.*?)^```", PAGE, re.M | re.S)
# What depends on the machine, and on the random seed.
VARYING = r"(?m)(?<=parameters; ).*$|(?<=^loss       ).* in|(?<=^time       ).*$|[\d.]+ MiB"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_report_of_the_page(folder, capsys):
    data, source = Path("data/fashion-mnist"), ROOT / "data" / "fashion-mnist"
    data.mkdir(parents=True)
    for name, database in (("train", "train_lmdb"), ("t10k", "test_lmdb")):
        files = [f"{source}/{name}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
        assert main(["convert_mnist_data", *files, str(data / database)]) == 0
    capsys.readouterr()
    assert main(shlex.split(COMMAND)[1:]) == 0
    printed = capsys.readouterr().out
    assert re.sub(VARYING, "", printed) == re.sub(VARYING, "", REPORT)
    assert "\ntime " in printed


NET = """layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "db" batch_size: 5 backend: LMDB } }


layer { name: "scores" type: "InnerProduct" bottom: "data" top: "scores"
  inner_product_param { num_output: %d } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 9 snapshot_prefix: "s"'


@pytest.mark.parametrize(
    ("labels", "n_classes"),
    [([2, 9] * 10, 2), ([k for k in range(4) for _ in range(10)], 4)],
)
def test_the_findings_of_the_page(folder, capsys, labels, n_classes):
    with create_database("db", "LMDB") as database:
        for number, label in enumerate(labels):
            image = np.full((1, 2, 2), number, np.uint8)
            database.put(b"%08d" % number, encode_datum(image, label))
    Path("net.prototxt").write_text(NET % n_classes)
    Path("solver.prototxt").write_text(SOLVER)
    main(["check", "solver.prototxt"])
    printed = capsys.readouterr().out.splitlines()
    shown = [line for line in printed if line in FINDINGS.splitlines()]
    assert len(shown) == 1
