"""Short trainings of the example nets, in a folder with their models and data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from minicaffe.cli.main import run_command
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver
from zoo import MODELS


def place_models(root: Path, *names: str) -> None:
    """Put models under the paths by which their nets and solvers are named."""
    (root / "models").mkdir()
    for name in names:
        (root / "models" / name).symlink_to(MODELS / name)


def convert_boxes(scenes: Path, *parts: str) -> None:
    """Write the databases of parts of the scenes."""
    flags = ["--anno_type=detection", f"--label_map_file={scenes / 'labelmap.prototxt'}"]
    for part in parts:
        paths = [f"{scenes}/", str(scenes / f"{part}_boxes.txt"), str(scenes / f"{part}_lmdb")]
        assert run_command("convert_annoset", [*flags, *paths]) == 0


def short_solver(model: Path, folder: Path, batches: int = 1) -> Solver:
    """Return a model's solver that tests on few batches, and snapshots on request, to "net"."""
    source = read_solver(model / "solver.prototxt")
    source.param.snapshot = 0
    source.param.test_iter[:] = [batches]
    source.param.test_interval = 1000
    source.param.max_iter = 40
    source.param.snapshot_prefix = str(folder / "net")
    return Solver(source)


def losses_of(solver: Solver, names: Iterable[str], iterations: int) -> list[float]:
    """Train, and return the sum of the named losses in each iteration."""
    losses = []
    for _ in range(iterations):
        solver.step(1)
        losses.append(sum(float(solver.net.blobs[name].data.read()) for name in names))
    return losses


def digest_of_weights(solver: Solver, folder: Path) -> str:
    """Write a snapshot and return a digest of its weights."""
    solver.snapshot()
    weights = folder / f"net_iter_{solver.iter}.caffemodel"
    return hashlib.sha256(weights.read_bytes()).hexdigest()
