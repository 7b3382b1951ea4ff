import shutil
from pathlib import Path

import numpy as np
import pytest

from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def golden_files(tmp_path):
    """A copy of the golden files: opening a LevelDB writes into it."""
    return Path(shutil.copytree(GOLDEN / "files", tmp_path / "files"))


@pytest.fixture
def make_database(tmp_path):
    """A function that writes images with labels 0, 1, ... to a database and returns its path."""

    def make(images, backend="LMDB", name="db"):
        path = tmp_path / name
        with create_database(str(path), backend) as database:
            for i, image in enumerate(images):
                database.put(b"%08d" % i, encode_datum(np.asarray(image), i))
        return str(path)

    return make
