"""What training shows: the lines of a display iteration, and the outputs of nets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from minicaffe.log import logger
from minicaffe.net import Net

if TYPE_CHECKING:
    from minicaffe.solver.solver import Solver


# A share below this is nothing to act on, and in less time than this it is an accident.
LEAST_WAITING_SHARE = 0.05
LEAST_WAITING_LAPSE_S = 1


class Display:
    """The lines of a display iteration, with the speed since the last one."""

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self.since, self.iteration = time.monotonic(), solver.iter
        self.data_wait_s = solver.net.data_wait_s

    def show(self) -> None:
        """Log loss, speed and outputs, and the time spent waiting for data if that is much."""
        solver, now = self.solver, time.monotonic()
        lapse = round(now - self.since, 3)
        speed = (solver.iter - self.iteration) / (lapse or 1)
        self.since, self.iteration = now, solver.iter
        waited = solver.net.data_wait_s - self.data_wait_s
        self.data_wait_s += waited
        logger.info(
            f"Iteration {solver.iter} ({speed:g} iter/s, {lapse:g}s/{solver.param.display} iters), "
            f"loss = {solver.smoothed_loss:g}"
        )
        log_outputs("Train", solver.net, solver.net.output_values())
        if lapse >= LEAST_WAITING_LAPSE_S and waited > LEAST_WAITING_SHARE * lapse:
            logger.info(f"    Waited for data {waited / lapse:.0%} of the time")


def log_outputs(kind: str, net: Net, values: list[Any]) -> None:
    """Log the outputs of a net, a line a number: ``    Test net output #0: accuracy = 0.9``."""
    weights = net.loss_weights()
    number = 0
    for blob, value in zip(net.outputs, values, strict=True):
        weight = weights.get(blob.name)
        for one in value.ravel():
            loss = f" (* {weight:g} = {weight * one:g} loss)" if weight else ""
            logger.info(f"    {kind} net output #{number}: {blob.name} = {one:g}{loss}")
            number += 1
