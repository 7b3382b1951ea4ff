"""Random nets train with shared memory as they do without: every bit of every parameter."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import pytest

from minicaffe.errors import BackendUnavailable
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver
from probe import EMULATED, make_backend

sys.path.insert(0, str(Path(__file__).parents[1]))
from net_generator import generate

N_NETS = 100
N_EMULATED = 20
CASES = [
    *((name, seed) for name in ("onednn", "reference") for seed in range(N_NETS)),
    *((name, seed) for name in EMULATED for seed in range(N_EMULATED)),
]
SOLVER = (
    'base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001 max_iter: 10 '
    "display: 0 snapshot_after_train: false random_seed: 7"
)


@functools.cache
def backend_named(name):
    return make_backend(name)


def trained(case, backend, folder, memory):
    """Return the parameters and outputs after three iterations, with batches of two sizes."""
    path = folder / "solver.prototxt"
    path.write_text(f"{SOLVER} net_param {{ {case.text} }}")
    solver = Solver(read_solver(path), backend, memory=memory)
    results = {}
    for step in range(3):
        for name, values in case.draw(case.batch + (step == 1), step).items():
            solver.net.blobs[name].reshape(values.shape)
            solver.net.blobs[name].data.set(values)
        with np.errstate(all="ignore"):
            solver.step(1)
        for blob in solver.net.outputs:
            results[f"{step} {blob.name}"] = blob.data.get()
    for layer in solver.net.layers:
        for i, blob in enumerate(layer.blobs):
            results[f"{layer.name}.{i}"] = blob.data.get()
    solver.close()
    return results


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_parameters_are_the_same(name, seed, tmp_path):
    try:
        backend = backend_named(name)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    case = generate(seed)
    if case.phase != "TRAIN":
        pytest.skip("a net of the TEST phase")
    want = trained(case, backend, tmp_path, "readable")
    for memory in ("share_gradients", "optimize"):
        got = trained(case, backend, tmp_path, memory)
        assert got.keys() == want.keys()
        for key, values in want.items():
            np.testing.assert_array_equal(got[key], values, f"{memory}: {key}")
