"""The schedule of a training: learning rate, weight decay and momentum of each iteration."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minicaffe.log import logger
from minicaffe.schema import SolverParameter
from minicaffe.solver.averaging.share import average_share
from minicaffe.solver.lr_policy import is_ramping, learning_rate, steps_reached
from minicaffe.solver.rules import Rule
from minicaffe.solver.update_settings import UpdateSettings, momentum, weight_decay

_LARGEST = float(np.finfo(np.float32).max)


class Plateau:
    """Counts the reductions of the learning rate by lr_policy "plateau" of SSD.

    The rate is reduced when plateau_winsize iterations have passed since the last event; an event
    is a new minimum of the smoothed loss, or a reduction. There are as many reductions as values of
    plateau_winsize, and each waits for its own.

    Parameters
    ----------
    param : SolverParameter

    Attributes
    ----------
    minimum_loss : float
        The smallest smoothed loss, rounded to float32, as snapshots store it.
    iter_last_event : int
        The iteration of the last event.
    reductions : int
        How often the rate has been reduced.
    """

    def __init__(self, param: SolverParameter) -> None:
        self._param = param
        self.minimum_loss = _LARGEST
        self.iter_last_event = 0
        self.reductions = 0

    def update(self, iteration: int, smoothed_loss: float) -> None:
        """Record the smoothed loss of an iteration, before its update of the parameters."""
        loss = float(np.float32(smoothed_loss))
        if loss < self.minimum_loss:
            self.minimum_loss, self.iter_last_event = loss, iteration
        sizes = self._param.plateau_winsize
        waits = sizes[self.reductions] if self.reductions < len(sizes) else math.inf
        if iteration >= self.iter_last_event + waits:
            self.reductions += 1
            self.iter_last_event = iteration
            logger.info(f"Plateau Status: Iteration {iteration}, step = {self.reductions}")
        display = self._param.display
        if display and iteration % display == 0 and self.iter_last_event > iteration - display:
            logger.info(
                f"Plateau Status: Iteration {iteration}, current minimum_loss = "
                f"{self.minimum_loss:g}"
            )

    def restore(self, minimum_loss: float | None, iter_last_event: int, reductions: int) -> None:
        """Go on from the values of a snapshot; None for a snapshot of another policy."""
        self.minimum_loss = _LARGEST if minimum_loss is None else minimum_loss
        self.iter_last_event, self.reductions = iter_last_event, reductions


class Schedule:
    """Gives the settings of each update, and logs their changes.

    Parameters
    ----------
    param : SolverParameter
    rule : Rule
        The solver type.

    Attributes
    ----------
    plateau : Plateau
        The state of lr_policy "plateau".
    """

    def __init__(self, param: SolverParameter, rule: Rule) -> None:
        self._param, self._rule = param, rule
        self.plateau = Plateau(param)

    def rate(self, iteration: int) -> float:
        """Return the learning rate of an iteration, before lr_mult."""
        return learning_rate(self._param, iteration, self.plateau.reductions)

    def settings(self, iteration: int) -> UpdateSettings:
        """Return the settings of the update of an iteration."""
        rate, decay = self.rate(iteration), weight_decay(self._param, iteration)
        correction = self._rule.correction(self._param, iteration + 1)
        return UpdateSettings(
            rate * correction,
            decay / correction if self._rule.decay_is_decoupled else decay,
            momentum(self._param, iteration, rate),
            average_share(self._param, iteration),
        )

    def observe(self, iteration: int, smoothed_loss: Callable[[], float]) -> None:
        """Lower the rate before the update of an iteration if the policy asks for it.

        Parameters
        ----------
        iteration : int
        smoothed_loss : callable
            Returns the mean of the last losses, that of this iteration included; may wait.
        """
        if self._param.lr_policy == "plateau" and not is_ramping(self._param, iteration):
            self.plateau.update(iteration, smoothed_loss())

    def log(self, iteration: int, shows: bool) -> None:
        """Log the steps of lr_policy "multistep", and the rate if the iteration is shown."""
        if self._param.lr_policy == "multistep" and iteration in self._param.stepvalue:
            step = steps_reached(self._param, iteration)
            logger.info(f"MultiStep Status: Iteration {iteration}, step = {step}")
        if shows:
            logger.info(f"Iteration {iteration}, lr = {self.rate(iteration):g}")
