"""models/lstm_parity learns its task within seconds."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.solver.solver import Solver

MODEL = Path(__file__).parents[1] / "models" / "lstm_parity"


@pytest.fixture
def make_data():
    spec = importlib.util.spec_from_file_location("make_data", MODEL / "make_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_labels_are_the_parity_of_the_bits(make_data):
    data = make_data.sequences(50, 3, 6, seed=0)
    assert [array.shape for array in data.values()] == [(50, 32, 1), (50, 32), (50, 32)]
    assert not data["cont"][0].any()
    for stream in range(32):
        begin = 0
        for t in range(50):
            begin = begin if data["cont"][t, stream] else t
            assert data["odd"][t, stream] == data["bits"][begin : t + 1, stream].sum() % 2


def test_the_net_learns_and_keeps_its_state_between_batches(make_data, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make_data.py", str(tmp_path)])
    make_data.main()
    for name, changes in {
        "train_val.prototxt": {},
        "solver.prototxt": {
            "max_iter: 500": "max_iter: 200",
            "test_iter: 100": "test_iter: 25",
            "test_interval: 250": "test_interval: 1000 test_initialization: false",
        },
    }.items():
        text = (MODEL / name).read_text().replace("models/lstm_parity", str(tmp_path))
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
    solver = Solver(tmp_path / "solver.prototxt", ReferenceBackend())
    solver.step(200)
    for index, net in enumerate(solver.test_nets):
        net.share_parameters_with(solver.net)
        right = []
        for _ in range(25):
            net.forward()
            right.append(float(net.blobs["accuracy"].data.get()))
        assert np.mean(right) > 0.99, index
    solver.close()
