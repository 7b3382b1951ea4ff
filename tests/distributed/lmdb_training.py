"""A small training on an LMDB, for processes that are disturbed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.ops.backend import HostArray
from minicaffe.solver.solver import Solver

# Dropout and mirroring: a training that resumes must draw the same numbers.
NET = """name: "small"
layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { scale: 0.004 mirror: true crop_size: 12 }
  data_param { source: "%(folder)s/lmdb" batch_size: 8 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """net: "%(folder)s/net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9
random_seed: 1 snapshot_prefix: "%(folder)s/s" """
N_RECORDS = 50


def write_training(folder: Path, settings: str) -> Path:
    """Write database, net and solver into a folder; return the path of the solver."""
    rng = np.random.default_rng(5)
    with create_database(str(folder / "lmdb"), "LMDB") as database:
        for k in range(N_RECORDS):
            image = rng.integers(0, 256, (1, 14, 14), dtype=np.uint8)
            database.put(b"%08d" % k, encode_datum(image, k % 5))
    (folder / "net.prototxt").write_text(NET % {"folder": folder})
    solver = folder / "solver.prototxt"
    solver.write_text(f"{SOLVER % {'folder': folder}}{settings}\n")
    return solver


def train_words(solver: Path, *flags: str) -> list[str]:
    """Return the command that trains in one process."""
    words = [sys.executable, "-m", "minicaffe", "train", f"--solver={solver}", "--no_run"]
    return [*words, "--threads=1", *flags]


def weights_in(solver: Path, state: Path) -> list[HostArray]:
    """Restore a snapshot, history and position of the data included; return the parameters."""
    restored = Solver(solver)
    restored.restore(state)
    return [p.blob.data.get().copy() for p in restored.net.parameters]


def last_snapshot(folder: Path) -> tuple[int, Path | None]:
    """Return iteration and path of the last snapshot in a folder; 0 and None without one."""
    found = {
        int(path.stem.rpartition("_")[2]): path for path in folder.glob("s_iter_*.solverstate")
    }
    return max(found.items(), default=(0, None))
