"""A run of a small classifier, with databases, weights and names of classes, in little time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from run_folders import write_run

from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.runs.record import stored_record

RUN = {"run": "runs/small-1"}
CLASSES = ("ink", "grey", "paper")
N_IMAGES, SIDE = 30, 8
LABELS = [k % 3 for k in range(N_IMAGES)]

NET = """
name: "small"
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { scale: 0.0039 }
  data_param { source: "data/images_lmdb" backend: LMDB batch_size: 10 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def image(k: int) -> np.ndarray:
    """Return the image of a record, (1, 8, 8): the darker, the smaller its label."""
    rng = np.random.default_rng(k)
    return (100 * LABELS[k] + rng.integers(0, 50, (1, SIDE, SIDE))).astype(np.uint8)


def write_small_run(root: Path) -> Path:
    """Write the project to a folder, with a run ``runs/small-1``; return the run's folder."""
    (root / "data").mkdir(parents=True)
    with create_database(str(root / "data" / "images_lmdb"), "LMDB") as database:
        for k, label in enumerate(LABELS):
            database.put(f"{k:05}_a.png".encode(), encode_datum(image(k), label))
    (root / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    run = write_run(root / "runs" / "small-1", test_iter=[3])
    record = stored_record(run)
    record.folder = str(root)
    record.write_to(run)
    for name in ("train", "test-0"):
        (run / f"{name}.prototxt").write_text(NET)
    (run / "solver.prototxt").write_text('snapshot_prefix: "snapshots/small"')
    placed = root / "net.prototxt"
    placed.write_text(NET.replace("data/images_lmdb", str(root / "data" / "images_lmdb")))
    net = Net(str(placed), "TRAIN", seed=5)
    save_net(net, run / "last.caffemodel")
    net.close()
    return run
