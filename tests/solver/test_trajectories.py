"""Every solver type trains as BVLC Caffe 1.0 did, and goes on from the snapshots it wrote.

The numbers, and the bytes of the snapshots, are Caffe's: see golden/solvers/README.md.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from minicaffe.schema import (
    SolverParameter,
    parse_prototxt,
    read_net_weights,
    read_solver_state,
)
from minicaffe.solver.lr_policy import learning_rate
from probe import GPU_NAMES
from tolerances import Tolerance, assert_close

FILES = sorted((Path(__file__).parents[1] / "golden" / "solvers").glob("*.npz"))
# Twenty steps let rounding grow.
LOSS = Tolerance(absolute=1e-5, relative=1e-3)
WEIGHTS = Tolerance(absolute=1e-4, relative=1e-3)

pytestmark = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@pytest.fixture
def case(path):
    return dict(np.load(path))


@pytest.fixture
def solver_of(case, make_solver):
    """A function that makes the case's solver, at its initial parameters."""

    def make(backend="auto"):
        solver = make_solver(str(case["net"]), f'snapshot_prefix: "s" {case["solver"]}', backend)
        for name, blob in by_name(solver).items():
            blob.data.set(case[f"init.{name}"])
        return solver

    return make


def by_name(solver):
    return {f"{p.layer.name}.{p.index}": p.blob for p in solver.net.parameters}


def train(solver, case, first, last):
    """Train from step `first` to `last`; return the losses."""
    losses = []
    for step in range(first, last):
        data, label = solver.net.inputs
        data.data.set(case["data"][step])
        label.data.set(case["label"][step])
        solver.step(1)
        losses.append(solver.net.loss())
    return np.array(losses)


def caffes_snapshot(case):
    """Write Caffe's own snapshot files; return the path of the state."""
    suffix = ".h5" if case["mid_model"].tobytes().startswith(b"\x89HDF") else ""
    stem = f"trajectory_iter_{int(case['mid'])}"
    Path(f"{stem}.caffemodel{suffix}").write_bytes(case["mid_model"].tobytes())
    state = Path(f"{stem}.solverstate{suffix}")
    state.write_bytes(case["mid_state"].tobytes())
    return state


def test_rates(case):
    param = parse_prototxt(str(case["solver"]), SolverParameter).message
    rates = [learning_rate(param, i) for i in range(len(case["lr"]))]
    # Read off the log, which has six digits.
    assert_close(rates, case["lr"], Tolerance(absolute=0, relative=1e-5), "lr")


@pytest.mark.parametrize("backend", ["reference", "auto", "cuda-channels-last", *GPU_NAMES])
def test_trajectory(case, solver_of, backend):
    solver = solver_of(backend)
    assert_close(train(solver, case, 0, len(case["loss"])), case["loss"], LOSS, "loss")
    for name, blob in by_name(solver).items():
        assert_close(blob.data.get(), case[f"final.{name}"], WEIGHTS, name)


def test_resume_from_caffes_files(case, solver_of):
    solver, mid = solver_of(), int(case["mid"])
    solver.restore(caffes_snapshot(case))
    assert solver.iter == mid
    losses = train(solver, case, mid, len(case["loss"]))
    assert_close(losses, case["loss"][mid:], LOSS, "loss after resuming")
    for name, blob in by_name(solver).items():
        assert_close(blob.data.get(), case[f"final.{name}"], WEIGHTS, name)


def test_snapshot_holds_what_caffes_holds(case, solver_of):
    """Same names, shapes and order of weights and history; same iteration and step."""
    solver = solver_of()
    train(solver, case, 0, int(case["mid"]))
    solver.snapshot()
    theirs = caffes_snapshot(case)
    ours = Path(theirs.name.replace("trajectory", "s"))
    got, want = read_solver_state(ours), read_solver_state(theirs)
    assert (got.iter, got.current_step) == (want.iter, want.current_step)
    assert Path(got.learned_net).name == re.sub("^.*trajectory", "s", want.learned_net)
    assert len(got.history) == len(want.history)
    for i, (mine, caffes) in enumerate(zip(got.history, want.history, strict=True)):
        assert_close(mine, caffes, WEIGHTS, f"history {i}")
    models = [Path(str(p).replace("solverstate", "caffemodel")) for p in (ours, theirs)]
    got, want = map(read_net_weights, models)
    assert [layer.name for layer in got] == [layer.name for layer in want]
    for mine, caffes in zip(got, want, strict=True):
        for i, (a, b) in enumerate(zip(mine.blobs, caffes.blobs, strict=True)):
            assert_close(a, b, WEIGHTS, f"{mine.name}.{i}")
