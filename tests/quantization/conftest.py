"""A small net with normalisation, trained on the bundled clothes."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicaffe.cli.main import run_command
from minicaffe.data.idx import read_set, write_idx
from zoo import ROOT

BUNDLED = ROOT / "data" / "fashion-mnist"
N_TRAIN, N_TEST = 1500, 400

DATA = """layer { name: "clothes" type: "Data" top: "data" top: "label" include { phase: %s }
  transform_param { scale: 0.00390625 }
  data_param { source: "%s_lmdb" batch_size: 50 backend: LMDB } }
"""
NET = (
    'name: "small"\n'
    + DATA % ("TRAIN", "train")
    + DATA % ("TEST", "test")
    + """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 9 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "normal" }
layer { name: "scale" type: "Scale" bottom: "normal" top: "normal" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "normal" top: "normal" }
layer { name: "pool" type: "Pooling" bottom: "normal" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool" top: "ip1"
  inner_product_param { num_output: 31 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
)
SOLVER = """net: "%s"
base_lr: %g
lr_policy: "fixed"
momentum: 0.9
max_iter: %d
snapshot_prefix: "%s"
random_seed: 3
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with net.prototxt, its databases, and net_iter_200.caffemodel."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for part, name, n in (("train", "train", N_TRAIN), ("test", "t10k", N_TEST)):
            files = [BUNDLED / f"{name}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
            for kind, values in zip(("images", "labels"), read_set(*files), strict=True):
                Path(f"{part}_{kind}").write_bytes(write_idx(values[:n]))
            files = [f"{part}_images", f"{part}_labels", f"{part}_lmdb"]
            assert run_command("convert_mnist_data", files) == 0
        Path("net.prototxt").write_text(NET)
        Path("solver.prototxt").write_text(SOLVER % ("net.prototxt", 0.02, 200, "net"))
        assert run_command("train", ["--solver=solver.prototxt"]) == 0
    return folder


@pytest.fixture
def project(trained, tmp_path, monkeypatch):
    """A working directory with the net, its databases and weights."""
    for path in trained.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
