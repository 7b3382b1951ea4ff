"""LeNet on the bundled images: a folder in which the commands of a user train it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from minicaffe.cli.main import run_command
from zoo import MODELS

IMAGES = MODELS.parent / "data" / "fashion-mnist"
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat")
CLASSES += ("sandal", "shirt", "sneaker", "bag", "boot")


def prepare_lenet(folder: Path) -> None:
    """Write databases, the net, its solver and the names of the classes to a folder."""
    data = folder / "data"
    data.mkdir(parents=True)
    for part, name in (("train", "train"), ("test", "t10k")):
        idx = [str(IMAGES / f"{name}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")]
        assert run_command("convert_mnist_data", [*idx, str(data / f"{part}_lmdb")]) == 0
    net = (MODELS / "lenet" / "lenet_train_test.prototxt").read_text(encoding="utf-8")
    (folder / "lenet.prototxt").write_text(net.replace("data/fashion-mnist/", "data/"), "utf-8")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    solver = (
        'net: "lenet.prototxt" base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005 lr_policy: "inv" '
        "gamma: 0.0001 power: 0.75 display: 10 test_iter: 5 test_interval: 50 max_iter: 300 "
        'snapshot: 100 snapshot_prefix: "snapshots/lenet" random_seed: 7'
    )
    (folder / "lenet_solver.prototxt").write_text(solver, encoding="utf-8")


def start_training(folder: Path, *flags: str) -> subprocess.Popen[str]:
    """Start a training in a folder that `prepare_lenet` has filled; its log is discarded."""
    command = [sys.executable, "-m", "minicaffe", "train", "lenet_solver.prototxt", *flags]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def environment() -> dict[str, str]:
    """Return the variables for a command of this checkout, in whatever folder it runs."""
    return {**os.environ, "PYTHONPATH": str(MODELS.parent)}
