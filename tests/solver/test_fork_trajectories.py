"""Nets of forks train as on the forks' own solvers: see golden/solvers_of_forks/README.md."""

from pathlib import Path

import numpy as np
import pytest

from minicaffe.errors import BackendUnavailable
from probe import BACKEND_NAMES, REFERENCE, make_backend
from tolerances import Tolerance, assert_close

FILES = sorted((Path(__file__).parents[1] / "golden" / "solvers_of_forks").glob("*.npz"))
# Twelve steps let rounding grow.
LOSS = Tolerance(absolute=1e-5, relative=1e-3)
WEIGHTS = Tolerance(absolute=1e-4, relative=1e-3)


@pytest.mark.parametrize("backend", [name for name in BACKEND_NAMES if name != REFERENCE])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_trajectory(path, backend, make_solver):
    with np.load(path) as file:
        case = dict(file)
    try:
        chosen = make_backend(backend)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    solver = make_solver(str(case["net"]), f'snapshot_prefix: "s" {case["solver"]}', chosen)
    parameters = {f"{p.layer.name}.{p.index}": p.blob for p in solver.net.parameters}
    for name, blob in parameters.items():
        blob.data.set(case[f"init.{name}"])
    losses = []
    for data, label in zip(case["data"], case["label"], strict=True):
        for blob, values in zip(solver.net.inputs, (data, label), strict=True):
            blob.data.set(values)
        solver.step(1)
        losses.append(solver.net.loss())
    assert_close(losses, case["loss"], LOSS, "loss")
    for name, blob in parameters.items():
        assert_close(blob.data.get(), case[f"final.{name}"], WEIGHTS, name)
