"""Run folders with invented values."""

from __future__ import annotations

import json
import math
from pathlib import Path

from minicaffe.runs.record import RunRecord, ScoredIteration


def write_run(path: Path, n: int = 20, **changes: object) -> Path:
    """Write a run of n displays, each tenth with a test before it; return its folder."""
    path.mkdir(parents=True)
    values = {
        "command": ["train", "lenet_solver.prototxt"],
        "folder": str(path),
        "machine": {"host": "elsewhere"},
        "started": "2026-01-02T03:04:05+00:00",
        "state": "finished",
        "iteration": n * 10,
        "max_iter": n * 10,
        "images_per_iteration": 64,
        "seconds": n / 2,
        "score": {"output": "accuracy", "net": 0, "best": "max"},
        "best": ScoredIteration((n - 1) // 10 * 100, accuracy((n - 1) // 10 * 100)),
    }
    RunRecord(**{**values, **changes}).write_to(path)
    add_metrics(path, 0, n)
    return path


def accuracy(iteration: int) -> float:
    """Return the accuracy of a test."""
    return round(0.9 - 0.8 / (1 + iteration / 100), 6)


def add_metrics(folder: Path, begin: int, end: int) -> None:
    """Append displays and tests, as a training does."""
    with (folder / "metrics.jsonl").open("a") as file:
        for k in range(begin, end):
            at = {"iteration": 10 * k, "epoch": round(k / 15, 4), "time": k / 2}
            if k % 10 == 0:
                outputs = {"accuracy": accuracy(10 * k), "loss": round(2 / (1 + k / 5), 6)}
                file.write(json.dumps({"kind": "test", **at, "net": 0, "outputs": outputs}) + "\n")
            loss = round(2.3 / (1 + k / 5) + 0.1 * math.sin(k), 6)
            rest = {"lr": 0.01, "loss": loss, "outputs": {"loss": loss}, "images_per_s": 1280.0}
            file.write(json.dumps({"kind": "train", **at, **rest}) + "\n")
