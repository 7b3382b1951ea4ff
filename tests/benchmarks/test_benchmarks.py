"""The benchmarks run and write their figures; the figures themselves are not tested."""

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from benchmarks import inference, layers, limits, memory, thread_choice
from benchmarks.__main__ import main
from benchmarks.machine import best_seconds
from benchmarks.net import Deployed, Own, describe
from benchmarks.peer import PACKAGES, Peer, installed_peers, narrowing
from benchmarks.report import Report
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
    kinds = ["training", "inference", "bf16", "convolutions", "update", "memory", "iteration"]
    words = ["--nets", "lenet", "--seconds", "0", "--json", str(path)]
    main([*words, "--only", *kinds])
    report = json.loads(path.read_text())
    assert report["isa"]
    assert report["peers"] == {}
    rows = report["rows"]
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


def test_thread_choice_is_compared_with_each_number(backend, monkeypatch, tmp_path):
    monkeypatch.setenv("MINICAFFE_THREADS", "3")
    monkeypatch.setattr(thread_choice, "busy_cores", nullcontext)
    rows = list(thread_choice.rows([], 0))
    assert [row.work for row in rows] == [
        "automatic threads, net of 6 kB, training step",
        "automatic threads, net of 6 kB, training step, all cores busy",
    ]
    sides = {"minicaffe", "1 threads", "2 threads", "3 threads"}
    assert all(row.details["mean_ms"].keys() == sides for row in rows)


def test_the_cores_are_busy_in_the_block_only(monkeypatch):
    monkeypatch.setenv("MINICAFFE_THREADS", "1")
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args: started.append(real(*args)) or started[-1]
    )
    with thread_choice.busy_cores():
        assert [process.poll() for process in started] == [None]
    assert started[0].returncode is not None


def test_peers_are_limited_as_onednn_is(monkeypatch):
    for variable in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(variable, raising=False)
    assert narrowing() == {}
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    narrow = narrowing()
    assert narrow["ATEN_CPU_CAPABILITY"] == "avx2"
    assert narrow["OV_CPU_MAX_ISA"] == narrow["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    assert "ATEN_CPU_CAPABILITY" not in narrowing()


def test_an_environment_without_peers_has_none():
    assert installed_peers("") == {}
    assert set(installed_peers(sys.executable)) <= set(PACKAGES)


def test_a_peer_that_fails_is_named():
    """This environment has no torch, or the message lacks everything."""
    with pytest.raises(ValueError, match=r"torch_peer\.py ended; its error is above"):
        Peer(sys.executable, "torch_peer.py", {"threads": 1})


TIMES = {"minicaffe": [2e-3], "PyTorch": [8e-3], "onnxruntime": [1e-3], "OpenVINO": [4e-3]}


def inference_row(differences=(), isas=(), own_isa="AVX2"):
    peers = [side for side in TIMES if side != "minicaffe"]
    return inference.row_of(
        *("net", TIMES, {**dict.fromkeys(peers, 1e-6), **dict(differences)}),
        *({**dict.fromkeys(peers, "AVX2"), **dict(isas)}, own_isa),
    )


def test_inference_is_compared_with_the_fastest_peer():
    row = inference_row()
    assert (row.other, row.ratio, row.is_met) == ("1.00 ms (onnxruntime)", 0.5, False)


@pytest.mark.parametrize("difference", [0.5, float("inf"), float("nan")])
def test_a_peer_with_wrong_values_is_not_counted(difference):
    row = inference_row({"onnxruntime": difference})
    assert row.other == "4.00 ms (OpenVINO); onnxruntime: wrong values"
    assert row.ratio == 2


def test_a_peer_with_a_wider_instruction_set_is_named_and_not_counted(backend):
    row = inference_row(isas={"onnxruntime": "AVX-512"})
    assert row.other == "4.00 ms (OpenVINO); onnxruntime with AVX-512: 1.00 ms"
    assert row.ratio == 2
    assert inference_row(isas={"onnxruntime": "AVX-512"}, own_isa="AVX-512").ratio == 0.5
    report = Report(backend, {"OpenVINO": "1", "onnxruntime": "2"}, "abc")
    report.isa = "AVX2"
    assert report.footnotes() == ""
    report.rows.append(row)
    assert "no setting for it: onnxruntime." in report.footnotes()
    assert "PyTorch, OpenVINO used AVX2" in report.footnotes()


def test_the_heading_names_what_is_not_installed(backend):
    head = Report(backend, {"PyTorch": "9.9"}, "abc").head()
    assert "commit abc" in head
    assert "Peers: PyTorch 9.9. Not installed: OpenCV, onnxruntime, OpenVINO." in head


def test_a_peer_gets_scale_as_part_of_batch_norm(backend):
    """MobileNet's normalisation is that of PyTorch's module, factor and term included."""
    layers = describe(Own("mobilenet", backend, 1).net)
    kinds = [layer["type"] for layer in layers]
    assert "Scale" not in kinds
    assert kinds[:3] == ["Convolution", "BatchNorm", "ReLU"]
    assert layers[1]["settings"] == {"num_features": 32, "eps": pytest.approx(1e-5), "affine": True}
    assert layers[2]["bottoms"] == layers[1]["tops"]
    assert layers[3]["settings"]["groups"] == 32


def test_deployed_nets_are_folded_and_give_no_extreme_probabilities(backend):
    own = Deployed("mobilenet", backend, 2)
    assert {"BatchNorm", "Scale"}.isdisjoint(layer.type for layer in own.net.layers)
    own.spread_scores()
    probabilities = own.output()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert probabilities.max() < 0.5
    assert probabilities.std() > 1e-4


def test_peers_get_the_weights_of_the_folded_net(backend, tmp_path):
    own = Deployed("lenet", backend, 1)
    paths = inference.write_files(own, tmp_path, ["PyTorch", "OpenCV", "onnxruntime"])
    with np.load(paths["weights"]) as arrays:
        for i, layer in enumerate(describe(own.net)):
            if layer["type"] in ("Convolution", "InnerProduct"):
                assert arrays[f"{i}.1"].shape == arrays[f"{i}.0"].shape[:1]
    assert all(Path(path).stat().st_size for path in paths.values())


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
