"""Trainings of a small net by several ranks, as threads, for tests."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import part_data
from thread_communicator import assert_same_on_all_ranks, run_ranks

from minicaffe.backends import get_backend
from minicaffe.distributed.communicator import ALONE
from minicaffe.schema import read_solver
from minicaffe.solver.parallel.settings import DataParallel
from minicaffe.solver.solver import Solver

BATCH = 8
FIXED = "base_lr: 0.05 snapshot_after_train: false"
DEFAULTS = {"lr_policy": '"fixed"', "random_seed": "3"}


class Trained(NamedTuple):
    """Parameters after a training, by layer and index, and the losses of its last iteration."""

    parameters: dict[str, np.ndarray]
    loss: float


def make_backend(name):
    """Return a backend of one thread."""
    return get_backend(name, threads=1) if name == "onednn" else get_backend(name)


def make_solver(settings, parallel, backend, batch=BATCH, net=part_data.NET):
    """Return a solver whose batches have so many rows in all parts together."""
    parts = parallel.parts
    part_data.STATED.parts, part_data.STATED.rows = parts, batch // parts.count
    defaults = " ".join(f"{k}: {v}" for k, v in DEFAULTS.items() if k not in settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "solver.prototxt")
        path.write_text(f"{FIXED} {settings} {defaults} net_param {{ {net} }}")
        return Solver(read_solver(path), backend, parallel=parallel)


def trained(solver, n_iterations=3):
    """Train, and return what came out."""
    solver.step(n_iterations)
    values = {f"{p.layer.name}.{p.index}": p.blob.data.get() for p in solver.net.parameters}
    return Trained(values, solver.losses.values()[-1])


def train_alone(settings, backend="reference", batch=BATCH):
    """Train with whole batches in one process."""
    return trained(make_solver(settings, DataParallel(ALONE), make_backend(backend), batch))


def train_by_ranks(size, settings, backend="reference", batch=BATCH, **parallel):
    """Train with ranks; check that all have the same parameters, and return those of each."""

    def work(communicator):
        chosen = DataParallel(communicator, **parallel)
        return trained(make_solver(settings, chosen, make_backend(backend), batch))

    ranks = run_ranks(size, work)
    for name in ranks[0].parameters:
        assert_same_on_all_ranks([rank.parameters[name] for rank in ranks])
    return ranks


def assert_close(found, wanted, tolerance=1e-5):
    """Compare parameters, relative to the largest value of each."""
    for name, values in wanted.parameters.items():
        scale = np.abs(values).max()
        np.testing.assert_allclose(
            found.parameters[name], values, rtol=0, atol=tolerance * scale, err_msg=name
        )
