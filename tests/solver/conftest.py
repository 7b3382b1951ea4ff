from pathlib import Path

import numpy as np
import pytest

from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver
from probe import make_backend


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def database(workdir):
    """The database that DATA_NET reads."""
    rng = np.random.default_rng(5)
    with create_database("train_lmdb", "LMDB") as db:
        for i in range(11):
            image = rng.integers(0, 256, (1, 9, 8), dtype=np.uint8)
            db.put(b"%08d" % i, encode_datum(image, i % 5))


@pytest.fixture
def make_solver(workdir):
    """A function that makes a Solver from the texts of net and solver, on a backend or its name."""
    made = []

    def make(net, settings, backend="auto", name="solver"):
        Path(f"{name}_net.prototxt").write_text(net)
        path = Path(f"{name}.prototxt")
        path.write_text(f'net: "{name}_net.prototxt" {settings}')
        chosen = make_backend(backend) if isinstance(backend, str) else backend
        made.append(Solver(read_solver(path), chosen))
        return made[-1]

    yield make
    for solver in made:
        solver.close()
