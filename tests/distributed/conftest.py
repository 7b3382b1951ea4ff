"""Trainings whose processes are threads."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from data_folders import write_small_database
from thread_communicator import run_ranks

from minicaffe.cli.commands import train as command
from minicaffe.cli.gflags import FlagParser
from minicaffe.schema import read_solver
from minicaffe.solver.parallel.settings import DataParallel
from minicaffe.solver.signals import SignalActions
from minicaffe.solver.solver import Solver
from probe import make_backend

# Each rank feeds the inputs itself. Test batches come from a database of eleven records.
FED_NET = """
name: "fed"
layer { name: "x" type: "Input" top: "x" top: "y" include { phase: TRAIN }
  input_param { shape { dim: 4 dim: 1 dim: 3 dim: 2 } shape { dim: 4 } } }
layer { name: "data" type: "Data" top: "x" top: "y" include { phase: TEST }
  transform_param { scale: 0.01 mirror: true }
  data_param { source: "lmdb" batch_size: 2 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "y" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
# Settings of a solver, unless a test has them.
SOLVER = {
    "net": '"net.prototxt"',
    "base_lr": "0.1",
    "lr_policy": '"fixed"',
    "random_seed": "1",
    "snapshot_prefix": '"s"',
}


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A working directory with net.prototxt and the database that it reads."""
    monkeypatch.chdir(tmp_path)
    write_small_database((1, 3, 2))
    Path("net.prototxt").write_text(FED_NET)
    return tmp_path


@pytest.fixture
def run_train(monkeypatch):
    """A function that runs the command train as a rank, which may be a thread, without signals."""
    monkeypatch.setattr(SignalActions, "installed", lambda self: nullcontext())
    monkeypatch.setattr(command, "background_output", nullcontext)

    def run(communicator, *words):
        parser = FlagParser(prog="train")
        command.TrainFlags.add_to(parser)
        return command.run_process(command.TrainFlags(parser.parse(list(words))), communicator)

    return run


@pytest.fixture
def train(workdir):
    """A function that trains with several ranks, and returns what `work` returns, by rank.

    The gradients are the means over all ranks before each update.
    """

    def run(size, settings, work=Solver.solve, **parallel):
        own = [f"{name}: {text}\n" for name, text in SOLVER.items() if f"{name}:" not in settings]
        Path("solver.prototxt").write_text("".join(own) + settings)

        def one(communicator):
            data_parallel = DataParallel(communicator, **parallel)
            backend = make_backend("reference")
            solver = Solver(read_solver("solver.prototxt"), backend, parallel=data_parallel)
            solver.on_start.append(lambda: feed(solver))
            solver.on_gradients_ready.append(lambda: average_gradients(solver))
            try:
                return work(solver)
            finally:
                solver.close()

        return run_ranks(size, one)

    return run


def feed(solver):
    """Fill the inputs with numbers that depend on the iteration and the rank."""
    if not solver.net.inputs:
        return
    rng = np.random.default_rng([solver.iter, solver.parallel.communicator.rank])
    x, y = solver.net.inputs
    x.data.set(rng.standard_normal(x.shape).astype(np.float32))
    y.data.set(rng.integers(0, 5, y.shape).astype(np.float32))


def average_gradients(solver):
    """Replace the gradients by their means over all ranks."""
    communicator = solver.parallel.communicator
    for parameter in solver.net.parameters:
        values = parameter.blob.diff.get().astype(np.float64)
        communicator.allreduce(values)
        parameter.blob.diff.set((values / communicator.size).astype(np.float32))
