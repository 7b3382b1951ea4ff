"""Learning-rate range test: the loss while the rate grows exponentially (Smith, 2017, section 3.3).

The loss does not change while the rate is too low, falls while it suits the net, and rises again
when it is too high. A rate at which it falls fastest is a good `base_lr`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minicaffe.errors import DivergedError
from minicaffe.schema import SolverParameter
from minicaffe.solver.solver import Solver

Values = npt.NDArray[np.float64]

# The test ends when the mean of the last losses is so many times the smallest such mean.
_DIVERGED = 4
_MEAN_SHARE = 0.05  # of the iterations, whose losses are in that mean
# Standard deviation of the weights that smooth the losses, as a share of the iterations.
_WIDTH = 0.025
_ROUNDING = 1e-6  # relative; a loss that falls by less stays the same
# What the range test replaces: the schedule, tests, snapshots, and the display of the solver.
_REPLACED = (
    *("gamma", "power", "stepsize", "stepvalue", "stagelr", "stageiter", "plateau_winsize"),
    *("min_lr", "warmup_iter", "warmup_start_lr", "rampup_interval", "rampup_lr"),
    *("momentum_policy", "max_momentum", "momentum_power"),
    *("weight_decay_policy", "weight_decay_power", "ema_decay", "swa_start", "swa_interval"),
    *("test_iter", "test_interval", "test_net", "test_net_param", "test_state"),
    *("test_compute_loss", "snapshot", "snapshot_diff", "snapshot_format"),
    *("average_loss", "display", "debug_info", "keep_best", "keep_last", "patience"),
)


@dataclass(frozen=True)
class RateRange:
    """The result of a range test.

    Attributes
    ----------
    rates : ndarray
        The learning rate of each iteration, ascending.
    losses : ndarray
        The loss of each iteration; all are finite.
    diverged_at : float or None
        The rate at which the test ended early, because the loss was no longer finite or four times
        the smallest one.
    """

    rates: Values
    losses: Values
    diverged_at: float | None

    @property
    def smoothed(self) -> Values:
        """The losses, each averaged with its neighbours by a Gauss function."""
        n = len(self.losses)
        distances = np.subtract.outer(np.arange(n), np.arange(n)) / max(1.0, _WIDTH * n)
        weights = np.exp(-(distances**2) / 2)
        return np.asarray(weights @ self.losses / weights.sum(axis=1))

    @property
    def smallest(self) -> float:
        """The rate at which the smoothed loss is smallest."""
        return float(self.rates[np.argmin(self.smoothed)])

    @property
    def steepest(self) -> float | None:
        """The rate at which the smoothed loss falls fastest; None if it never falls."""
        smoothed = self.smoothed
        falling = smoothed[: int(np.argmin(smoothed)) + 1]
        if np.ptp(falling) <= _ROUNDING * np.abs(falling).max():
            return None
        slopes = np.gradient(falling, np.log(self.rates[: len(falling)]))
        return float(self.rates[np.argmin(slopes)])


def prepare_range_test(param: SolverParameter, first: float, last: float, n: int) -> None:
    """Change a solver so that its rate grows exponentially, and nothing is tested or saved.

    Parameters
    ----------
    param : SolverParameter
    first, last : float
        The rates of the first and of the last of `n` iterations.
    n : int
        At least 2.
    """
    for field in _REPLACED:
        param.ClearField(field)
    param.lr_policy = "exp"
    param.base_lr, param.gamma, param.max_iter = first, (last / first) ** (1 / (n - 1)), n
    param.snapshot_after_train = False
    param.stop_at_non_finite_loss = True


def measure_rates(solver: Solver, is_stopped: Callable[[], bool]) -> RateRange:
    """Train a solver that `prepare_range_test` has prepared, until max_iter or until it diverges.

    Parameters
    ----------
    solver : Solver
    is_stopped : callable
        Asked after each iteration; True ends the test with what was measured.
    """
    rates: list[float] = []
    losses: list[float] = []
    means: list[float] = []
    n_in_mean = max(1, int(_MEAN_SHARE * solver.param.max_iter))
    diverged_at = None
    while solver.iter < solver.param.max_iter and not is_stopped():
        rate = solver.rate
        try:
            solver.step(1)
            loss = solver.smoothed_loss
        except DivergedError:
            loss = math.inf
        means.append(sum([*losses, loss][-n_in_mean:]) / min(len(losses) + 1, n_in_mean))
        if not math.isfinite(loss) or means[-1] > _DIVERGED * min(means) > 0:
            diverged_at = rate
            break
        rates.append(rate)
        losses.append(loss)
    return RateRange(np.array(rates), np.array(losses), diverged_at)
