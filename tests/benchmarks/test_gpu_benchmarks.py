"""The GPU benchmarks, on an emulated GPU and with a fake peer."""

import json

import pytest

import no_card
from benchmarks import gpu
from benchmarks.table import Row

MS = {"eager": 8.0, "graph tf32": 4.0, "channels_last tf32": 5.0, "graph bf16": 2.0}


class FakePeer:
    """Returns the times in MS, and fails if there is none."""

    def __init__(self, python, worker, message):
        self.row = f"{message['variant']} {message['precision']}".strip()
        assert message["device"] == "cuda"
        assert [layer["type"] for layer in message["layers"]][:2] == ["Convolution", "Pooling"]
        if self.row not in MS:
            raise ValueError("no answer")

    def run(self, n):
        return [MS[self.row] / 1e3]

    def close(self):
        pass


@pytest.fixture
def card(monkeypatch, emulated_device):
    no_card.install(monkeypatch, [emulated_device])
    monkeypatch.setattr(gpu, "Peer", FakePeer)
    monkeypatch.setattr(gpu, "WARM_UP", 3)
    monkeypatch.setattr(gpu, "CHUNKS", 1)
    return emulated_device


def test_rows(card, tmp_path, capsys):
    path = tmp_path / "gpu.json"
    flags = ["--nets", "lenet", "--batch=2", "--seconds=0", "--peer-python=python"]
    assert gpu.main([*flags, "--from-lmdb", "lenet", "--pictures=8", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    rows = report["rows"]
    assert [row["work"] for row in rows] == [
        "LeNet 2, training step, tf32",
        "LeNet 2, training step, tf32",
        "LeNet 2, training step, bf16",
        "LeNet 2, from LMDB",
    ]
    assert [row["other"].partition("(")[2] for row in rows] == [
        "PyTorch, eager)",
        "PyTorch, graph tf32)",
        "PyTorch, graph bf16)",
        "input on the GPU)",
    ]
    assert [row["wanted"] for row in rows] == [5.0, 1 / 1.2, None, 0.9]
    assert rows[0]["ratio"] == pytest.approx(8 / rows[0]["details"]["own_ms"])
    assert set(rows[0]["details"]["failures"]) == {
        "channels_last bf16",
        "compile tf32",
        "compile bf16",
    }
    table = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert {line.count("|") for line in table} == {7}
    assert card.counts["replay"]


def test_iterations_train(card):
    training = gpu.Training("lenet", gpu.get_backend("cuda", precision="fp32"), 2)
    before = [p.blob.data.get() for p in training.net.parameters]
    assert training.run(2)[0] > 0
    after = [p.blob.data.get() for p in training.net.parameters]
    assert all((one != two).any() for one, two in zip(before, after, strict=True))


def test_without_gpu(monkeypatch, capsys):
    no_card.install(monkeypatch, [])
    assert gpu.main([]) == 1
    assert capsys.readouterr().out == "no GPU can be used: no driver.\n"


def test_rows_without_a_target():
    row = Row("a", "1 ms", "2 ms", 2.0, None)
    assert row.is_met
    assert row.markdown() == "| a | 1 ms | 2 ms | 2.00 | | |"
