"""The first iterations of a training, measured; nothing is displayed, tested or saved."""

from __future__ import annotations

import time
from typing import NamedTuple

from minicaffe.solver.solver import Solver

_MOST_ITERATIONS = 10
_MOST_S = 5.0


class Trial(NamedTuple):
    """What the first iterations took.

    Parameters
    ----------
    loss : float
        Of the first iteration.
    iteration_s : float
        Mean time of an iteration after the first one, seconds.
    test_s : float
        Time of one test of all nets, seconds; 0 if nothing is tested.
    total_s : float
        Of the whole training, with its tests.
    """

    loss: float
    iteration_s: float
    test_s: float
    total_s: float


def try_iterations(solver: Solver) -> Trial:
    """Train for some iterations and run a batch of each test net; the solver is not usable after.

    Raises
    ------
    MinicaffeError
        If an iteration fails.
    """
    param = solver.param
    interval = param.test_interval if solver.test_nets else 0
    n_tests = param.max_iter // interval + param.test_initialization if interval else 0
    param.display = param.snapshot = param.test_interval = 0
    solver.step(1)
    loss = solver.losses.values()[-1]
    began, n = time.perf_counter(), 0
    while n < _MOST_ITERATIONS and (not n or time.perf_counter() - began < _MOST_S):
        solver.step(1)
        n += 1
    solver.losses.values()  # waits for the last one
    solver.backend.synchronize()
    iteration_s = (time.perf_counter() - began) / n
    test_s = sum(map(_pass_s, [solver] * len(solver.test_nets), range(len(solver.test_nets))))
    total_s = param.max_iter * iteration_s + n_tests * test_s
    return Trial(loss, iteration_s, test_s, total_s)


def _pass_s(solver: Solver, index: int) -> float:
    """Return the time of a test of one net, from that of its second batch."""
    net = solver.test_nets[index]
    net.share_parameters_with(solver.net)
    net.forward()
    solver.backend.synchronize()
    began = time.perf_counter()
    net.forward()
    solver.backend.synchronize()
    return (time.perf_counter() - began) * solver.param.test_iter[index]
