"""The benchmark of the data pipeline runs; its figures are not tested."""

from __future__ import annotations

import json

import pytest

from benchmarks import pipeline


class FakePeer:
    """Takes the place of torchvision, which makes a batch in 10 ms."""

    version = "fake 1.0"

    def __init__(self, python, worker, message):
        assert (python, worker) == ("python", "torchvision_peer.py")
        assert message["crop"] == 227
        assert len(message["files"]) == 200
        self.decoder, self.size = message["decoder"], message["size"]

    def run(self, n):
        return [0.01] * n

    def close(self):
        pass


def test_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "Peer", FakePeer)
    rows = list(pipeline.batch_rows(tmp_path, "python", 1))
    assert [row.other for row in rows] == [
        f"5000 images/s (fake 1.0, {decoder})" for decoder in ("pillow", "tensor") * 2
    ]
    assert [row.wanted for row in rows] == [1.3, None, 1.3, None]
    for row in rows:
        assert row.ratio == pytest.approx(0.01 / min(row.details["own"]))


def test_conversion(tmp_path):
    pytest.importorskip("cv2")
    row = pipeline.conversion_row(tmp_path, 1, n=5)
    assert "5 JPEG 500 x 375 to 256 x 256" in row.work
    assert row.ratio == row.details["peer"][0] / row.details["own"][0]
    assert not (tmp_path / "db").exists()


def test_opening(tmp_path):
    rows = list(pipeline.opening_rows(tmp_path, 1, n=60))
    assert [row.work for row in rows] == [f"opening of {what}" for what in pipeline.SOURCES]
    assert all(row.is_limit and row.ratio > 0 for row in rows)


def test_rows_are_printed_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "weights_row", lambda folder, rounds: fast(folder))

    def fast(folder):
        assert folder.is_dir()
        return pipeline.limit_row("weights", 0.25, 0.5)

    path = tmp_path / "result.json"
    pipeline.main(["--only", "weights", "--json", str(path)])
    assert (
        "| weights | 0.25 s | 0.5 s (limit) | 0.50 | at most 1 | met |" in capsys.readouterr().out
    )
    (row,) = json.loads(path.read_text())
    assert row["is_met"]


def test_batches_need_a_peer(capsys):
    with pytest.raises(SystemExit):
        pipeline.main(["--only", "batches"])
    assert "--peer-python is missing" in capsys.readouterr().err


def test_a_peer_that_does_not_exist_is_named(capsys):
    with pytest.raises(SystemExit):
        pipeline.main(["--peer-python", "/nowhere/python"])
    assert "/nowhere/python is no program" in capsys.readouterr().err
