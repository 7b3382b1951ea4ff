"""The benchmarks run and write their figures; the figures themselves are not tested."""

import json

import pytest

from benchmarks import layers, limits, memory
from benchmarks.__main__ import main
from benchmarks.machine import best_seconds
from benchmarks.table import Row
from minicaffe.backends import get_backend
from minicaffe.errors import BackendUnavailable


@pytest.fixture
def backend():
    try:
        return get_backend("onednn")
    except BackendUnavailable as reason:
        pytest.skip(str(reason))


def test_lenet_without_peers(backend, tmp_path, capsys):
    path = tmp_path / "result.json"
    main(["--nets", "lenet", "--seconds", "0", "--json", str(path)])
    rows = json.loads(path.read_text())["rows"]
    assert [row["work"] for row in rows] == [
        "LeNet 64, training step",
        "LeNet, inference, batch 1",
        "LeNet, inference, batch 16",
        "LeNet 64, training step in bfloat16",
        "LeNet iteration from LMDB",
        "Python and dispatch in a LeNet iteration, ms",
    ]
    assert rows[0]["details"]["runs"] >= 3
    assert rows[1]["details"]["median_ms"]["minicaffe"] > 0
    assert rows[4]["ratio"] > 1
    table = capsys.readouterr().out.split("\n\n")[2].splitlines()
    assert {line.count("|") for line in table} == {7}
    assert len(table) == 2 + len(rows)


def test_convolutions_are_counted(backend, monkeypatch):
    """LeNet's first filters: 64 x 20 x 24 x 24 sums of 25 products."""
    monkeypatch.setattr("benchmarks.machine.GEMM_SIZES", (64,))
    seen = {}
    monkeypatch.setattr("benchmarks.limits.best_seconds", lambda run, s: seen.setdefault(run, 1e-9))
    row = limits.convolutions("lenet", backend, 0)
    flops = row.details["gflops"]
    assert flops["conv1"]["forward"] == 2 * 64 * 20 * 24 * 24 * 25
    assert set(flops["conv1"]) == {"forward", "backward weights"}
    assert set(flops["conv2"]) == {"forward", "backward weights", "backward data"}
    assert len(seen) == 5


def test_memory_is_counted(backend):
    figures = memory.measure("lenet", "train", 2)
    assert figures["parameters"] == 4 * 431080
    assert figures["activations"] > figures["gradients"] > 0


def test_shared_memory_is_measured(backend):
    row = memory.tested("lenet", 256)
    assert row.details["apart"]["activations"] == row.details["shared"]["activations"]
    assert row.work == "peak memory, LeNet testing, batch 256, --optimize_memory"
    assert row.is_limit


def test_a_limit_is_met_from_below():
    assert Row("a", "", "", 1.2, 1.25, is_limit=True).is_met
    assert not Row("a", "", "", 1.2, 1.25).is_met


def test_best_seconds_runs_at_least_three_times():
    runs = []
    assert best_seconds(lambda: runs.append(1), 0) < 1
    assert len(runs) == 3


def test_a_profile_names_every_layer_and_type(backend, capsys, monkeypatch):
    """Every part counts as 1 s, because on a loaded machine a layer may take any share."""

    def one_second(run):
        run()
        return 1.0

    monkeypatch.setattr(layers, "_seconds", one_second)
    layers.main(["lenet", "--batch", "2", "--seconds", "0"])
    by_layer, by_type, _ = capsys.readouterr().out.split("\n\n")
    assert "| conv2 |" in by_layer
    assert "| Convolution |" in by_type
    assert "| solver update |" in by_type
    assert {line.count("|") for line in (*by_layer.splitlines(), *by_type.splitlines())} == {6}
    assert [table.splitlines()[-1].split("|")[4] for table in (by_layer, by_type)] == [
        " 100.0% "
    ] * 2


def test_costs_are_summed_by_type():
    costs = [layers.Cost("a", "X", 1.0, 2.0, 6e9), layers.Cost("b", "Y", 9.0, 0.0)]
    costs.append(layers.Cost("c", "X", 1.0, 0.0))
    assert [(c.kind, c.total_s, c.operations) for c in layers.by_type(costs)] == [
        ("Y", 9.0, 0.0),
        ("X", 4.0, 6e9),
    ]
    assert costs[0].line(6.0) == "| a | 1000.00 | 2000.00 | 50.0% | 2 |"
