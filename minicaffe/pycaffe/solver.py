"""pycaffe's solver classes: facades of `minicaffe.solver.Solver`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from minicaffe.errors import BackendUnavailable
from minicaffe.pycaffe.files import FilePath, require_file
from minicaffe.pycaffe.net import Net
from minicaffe.pycaffe.notebooks.cell_progress import CellProgress
from minicaffe.pycaffe.notebooks.history import TrainingHistory
from minicaffe.pycaffe.session import current_backend, next_seed, warn_of_launcher
from minicaffe.schema import SolverParameter, SolverSource, read_solver
from minicaffe.solver.solver import Solver as CoreSolver

Callback = Callable[[], object]


class Solver:
    """Trains a net with the settings of a solver's prototxt.

    Use one of the subclasses, which override the type in the prototxt, or `get_solver`, which
    creates the solver of the type in the prototxt.

    Parameters
    ----------
    solver_file : str or Path
        The solver's prototxt.

    Attributes
    ----------
    net : Net
        The net being trained.
    test_nets : list of Net
        Nets in the TEST phase that share the parameters of `net`.
    history : TrainingHistory
        What displays and tests have logged: ``history.train``, ``history.test``.

    Raises
    ------
    RuntimeError
        If a file is missing or invalid, or a net cannot be built (`minicaffe.errors`).
    """

    type: ClassVar[str]

    def __init__(self, solver_file: FilePath) -> None:
        require_file(solver_file)
        source = read_solver(os.fspath(solver_file))
        source.param.type = self.type
        self._attach(source)

    def _attach(self, source: SolverSource) -> None:
        warn_of_launcher()
        self._solver = CoreSolver(source, current_backend(), next_seed())
        self._progress = CellProgress(self._solver)
        self.history = TrainingHistory()
        self._solver.observers.displays.append(self.history.add_display)
        self._solver.observers.tests.append(self.history.add_scores)
        self.net = Net._of(self._solver.net)
        self.test_nets = [Net._of(net) for net in self._solver.test_nets]

    @property
    def iter(self) -> int:
        """Number of updates done."""
        return self._solver.iter

    @property
    def lr(self) -> float:
        """Learning rate of the current iteration."""
        return self._solver.rate

    @property
    def param(self) -> SolverParameter:
        """The settings; ``param.base_lr`` can be changed at any time."""
        param: SolverParameter = self._solver.param
        return param

    def step(self, n: int) -> None:
        """Run `n` iterations, including the tests and snapshots that are due."""
        if not isinstance(n, int | np.integer):
            raise TypeError(f"step takes a number of iterations, found {n!r}; write step(100)")
        with self._progress.shown(self.iter + int(n)):
            self._solver.step(n)

    def solve(self, resume_file: FilePath | None = None) -> None:
        """Train until max_iter, optionally resuming from a .solverstate file."""
        if resume_file is not None:
            require_file(resume_file)
        with self._progress.shown(self.param.max_iter):
            self._solver.solve(None if resume_file is None else os.fspath(resume_file))

    def restore(self, resume_file: FilePath) -> None:
        """Restore weights and solver state from a .solverstate file."""
        require_file(resume_file)
        self._solver.restore(os.fspath(resume_file))

    def snapshot(self) -> None:
        """Write weights and solver state to files named after snapshot_prefix."""
        self._solver.snapshot()

    def apply_update(self) -> None:
        """Update the parameters with their current gradients; `iter` is unchanged."""
        self._solver.apply_update()

    def share_weights(self, net: Net) -> None:
        """Share memory with the parameters of the layers of the same names in `net`."""
        self.net.share_with(net)

    def add_callback(self, on_start: Callback, on_gradients_ready: Callback | None = None) -> None:
        """Register callbacks for every iteration.

        Parameters
        ----------
        on_start : callable
            Called at the start of each iteration.
        on_gradients_ready : callable, optional
            Called before each update.
        """
        self._solver.on_start.append(on_start)
        if on_gradients_ready is not None:
            self._solver.on_gradients_ready.append(on_gradients_ready)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(iter={self.iter}, lr={self.lr:g}, net={self.net!r})"


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum."""

    type = "SGD"


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient."""

    type = "Nesterov"


class AdaGradSolver(Solver):
    """Learning rates that fall with the sum of squared gradients (Duchi et al., 2011)."""

    type = "AdaGrad"


class RMSPropSolver(Solver):
    """Learning rates from a running mean of squared gradients (Tieleman and Hinton, 2012)."""

    type = "RMSProp"


class AdaDeltaSolver(Solver):
    """Learning rates from running means of squared gradients and updates (Zeiler, 2012)."""

    type = "AdaDelta"


class AdamSolver(Solver):
    """Updates from running means of gradients and their squares (Kingma and Ba, 2015)."""

    type = "Adam"


class AdamWSolver(Solver):
    """Adam with weight decay outside of the gradient (Loshchilov and Hutter, 2019)."""

    type = "AdamW"


_CLASSES = {cls.type: cls for cls in Solver.__subclasses__()}


def get_solver(solver_file: FilePath) -> Solver:
    """Return a solver of the type in the prototxt.

    Raises
    ------
    RuntimeError
        If a file is missing or invalid, or a net cannot be built (`minicaffe.errors`).
    """
    require_file(solver_file)
    source = read_solver(os.fspath(solver_file))
    # For an unknown type, the core solver raises the error.
    cls = _CLASSES.get(source.param.type, Solver)
    solver = cls.__new__(cls)
    solver._attach(source)
    return solver


class NCCL:
    """Training with several GPUs, which programs cannot do: the constructor raises an error.

    The command does it: ``mpiexec -n N minicaffe train``.

    Raises
    ------
    BackendUnavailable
        Always.
    """

    def __init__(self, solver: Solver, uid: str) -> None:
        self.new_uid()

    @staticmethod
    def new_uid() -> str:
        """Raise the error of the constructor."""
        raise BackendUnavailable(
            "caffe.NCCL: a program cannot train with several GPUs (caffe.has_nccl() is False). The "
            "command does it: mpiexec -n N minicaffe train --solver=FILE --gpu=all. Or train on "
            "one GPU, with iter_size for a larger batch."
        )
