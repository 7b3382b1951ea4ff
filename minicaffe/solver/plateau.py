"""The learning-rate policy "plateau" of SSD: the rate falls when the loss no longer does."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.log import logger
from minicaffe.schema import SolverParameter

_LARGEST = float(np.finfo(np.float32).max)


class Plateau:
    """Counts the reductions of the learning rate.

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
