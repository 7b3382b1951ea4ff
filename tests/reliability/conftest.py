"""Commands in processes of their own, on a small database of digits."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from minicaffe.cli.main import main; sys.exit(main())",
]
NET = """
layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { crop_size: 10 mirror: true scale: 0.0039 }
  data_param { source: "digits" batch_size: 8 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 30 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" }
layer { name: "scores" type: "InnerProduct" bottom: "ip" top: "scores"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" random_seed: 5
snapshot_prefix: "%s" snapshot: %d max_iter: %d %s
"""


class Workplace:
    """A folder with a net, a solver and a database, in which commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(3)
        with create_database(str(folder / "digits"), "LMDB") as database:
            for i in range(50):
                image = rng.integers(0, 256, (1, 12, 12), dtype=np.uint8)
                database.put(b"%08d" % i, encode_datum(image, i % 5))
        (folder / "net.prototxt").write_text(NET)

    def write_solver(self, prefix="s", snapshot=1, max_iter=40, more=""):
        text = SOLVER % (prefix, snapshot, max_iter, more)
        (self.folder / "solver.prototxt").write_text(text)

    def start(self, *words, file_limit=None):
        """Start a command; with `file_limit`, files cannot grow beyond that many bytes."""

        def limit_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

        return subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=None if file_limit is None else limit_files,
            env={**os.environ, "GLOG_minloglevel": "1"},
        )

    def run(self, *words, file_limit=None):
        """Run a command; return its exit code and output."""
        process = self.start(*words, file_limit=file_limit)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def files(self, pattern="*"):
        """Return the bytes of all files that match, by their path in the folder."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob(pattern))
            if path.is_file()
        }


@pytest.fixture
def workplace(tmp_path):
    return Workplace(tmp_path)
