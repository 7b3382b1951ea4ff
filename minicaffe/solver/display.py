"""Log lines of a display iteration, and the outputs of nets."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Sequence

import numpy as np

from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.ops.backend import HostArray
from minicaffe.solver.parallel.agreement import Agreement
from minicaffe.solver.parallel.slow_rank import RankWait, slow_rank
from minicaffe.solver.reports import DisplayReport

# The wait for data is logged above this share of the time; waits for data and ranks over intervals
# of at least this length only, because shorter ones are noise.
LEAST_WAITING_SHARE = 0.05
LEAST_WAITING_LAPSE_S = 1


class Display:
    """Logs the lines of display iterations, with the speed since the last one.

    Parameters
    ----------
    net : Net
        The net being trained.
    iteration : int
        The current iteration, from which the speed is measured.
    ranks : Agreement
        The processes of the training, over which outputs are averaged.
    """

    def __init__(self, net: Net, iteration: int, ranks: Agreement) -> None:
        self._net, self._ranks = net, ranks
        self._since, self._iteration = time.monotonic(), iteration
        self._data_wait_s, self._ranks_wait_s = net.data_wait_s, ranks.wait_s
        self._paused: float | None = None
        self._next = iteration

    def begin(self, iteration: int) -> None:
        """Measure the speed from now on; after a pause at the same iteration, go on measuring."""
        now = time.monotonic()
        if self._paused is not None and iteration == self._next:
            self._since += now - self._paused
        else:
            self._since, self._iteration = now, iteration
            self._data_wait_s, self._ranks_wait_s = self._net.data_wait_s, self._ranks.wait_s
        self._paused = None

    def pause(self, iteration: int) -> None:
        """Stop measuring until `begin`, because the time belongs to the caller of `step`."""
        self._paused, self._next = time.monotonic(), iteration

    def show(self, iteration: int, interval: int, loss: float) -> DisplayReport:
        """Log loss, speed and outputs, and the waits for data and for a rank if they were long.

        Parameters
        ----------
        iteration : int
            The current iteration.
        interval : int
            The solver's field `display`.
        loss : float
            The smoothed loss.

        Returns
        -------
        DisplayReport
            Without the rate, which may change before the update.
        """
        now = time.monotonic()
        lapse = round(now - self._since, 3)
        speed = (iteration - self._iteration) / (lapse or 1)
        self._since, self._iteration = now, iteration
        waited = self._net.data_wait_s - self._data_wait_s
        self._data_wait_s += waited
        logger.info(
            f"Iteration {iteration} ({speed:g} iter/s, {lapse:g}s/{interval} iters), "
            f"loss = {loss:g}"
        )
        values, waits = self._gather()
        log_outputs("Train", self._net, values)
        slow = slow_rank(waits, lapse) if lapse >= LEAST_WAITING_LAPSE_S else None
        if slow is not None:
            logger.info(f"    {slow}")
        if lapse >= LEAST_WAITING_LAPSE_S and waited > LEAST_WAITING_SHARE * lapse:
            logger.info(f"    Waited for data {waited / lapse:.0%} of the time")
        return DisplayReport(iteration, loss, math.nan, named_values(self._net, values), speed)

    def _gather(self) -> tuple[list[HostArray], list[RankWait]]:
        """Return the means of the outputs, and how long each rank has waited since the last time.

        Both are one message.
        """
        waited_s = self._ranks.wait_s
        own = self._net.output_values(), RankWait(waited_s - self._ranks_wait_s, platform.node())
        self._ranks_wait_s = waited_s
        outputs, waits = zip(*self._ranks.gathered(own), strict=True)
        return mean_outputs(outputs), list(waits)


def mean_outputs(of_ranks: Sequence[Sequence[HostArray]]) -> list[HostArray]:
    """Return the means of outputs over all processes; of arrays that differ in shape, the first."""
    found = []
    for arrays in zip(*of_ranks, strict=True):
        is_same = all(array.shape == arrays[0].shape for array in arrays)
        mean = (
            sum(arrays[1:], arrays[0]) / len(arrays) if is_same and len(arrays) > 1 else arrays[0]
        )
        found.append(np.asarray(mean, arrays[0].dtype))
    return found


def log_outputs(kind: str, net: Net, values: Sequence[HostArray]) -> None:
    """Log the outputs of a net, a line a number: ``    Test net output #0: accuracy = 0.9``."""
    weights = net.loss_weights()
    number = 0
    for blob, value in zip(net.outputs, values, strict=True):
        weight = weights.get(blob.name)
        for one in value.ravel():
            loss = f" (* {weight:g} = {weight * one:g} loss)" if weight else ""
            logger.info(f"    {kind} net output #{number}: {blob.name} = {one:g}{loss}")
            number += 1


def named_values(net: Net, values: Sequence[HostArray]) -> dict[str, float]:
    """Return the outputs of nets by name; further values of one output are ``name[1]``, ..."""
    return {
        blob.name + (f"[{k}]" if k else ""): float(one)
        for blob, value in zip(net.outputs, values, strict=True)
        for k, one in enumerate(value.ravel())
    }
