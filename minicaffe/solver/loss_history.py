"""The losses of the last iterations, read from the device without waiting for it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from minicaffe.errors import DivergedError
from minicaffe.log import log_obstacle, logger
from minicaffe.net.loss_future import LossFuture
from minicaffe.schema import SolverParameter
from minicaffe.solver.lr_policy import learning_rate
from minicaffe.solver.saturation import SaturationDetector

# A loss is read at the latest so many iterations after its own: the largest delay of a warning.
LONGEST_DELAY = 100


class _PendingLoss(NamedTuple):
    """An iteration and the losses of its batches, whose mean is its loss."""

    iteration: int
    batches: Sequence[LossFuture]

    @property
    def is_done(self) -> bool:
        return all(loss.is_done for loss in self.batches)

    def mean(self) -> float:
        total = 0.0
        for loss in self.batches:
            total += loss.result()
        return total / len(self.batches)


class LossHistory:
    """The last `average_loss` losses; logs a warning when the first of all is not finite.

    A loss is read when its future is done, so that a backend that computes asynchronously is not
    waited for in every iteration.

    Parameters
    ----------
    param : SolverParameter
        Sets average_loss, and the rate that the warning names.
    """

    def __init__(self, param: SolverParameter) -> None:
        self._param = param
        self._known: deque[float] = deque(maxlen=param.average_loss)
        self._pending: deque[_PendingLoss] = deque()
        self._has_diverged = False
        self._saturation = SaturationDetector()

    def add(self, iteration: int, batches: Sequence[LossFuture]) -> None:
        """Add an iteration's loss; read all that are done, and those older than LONGEST_DELAY."""
        self._pending.append(_PendingLoss(iteration, batches))
        while self._pending and (self._pending[0].is_done or len(self._pending) > LONGEST_DELAY):
            self._read()

    def _read(self) -> None:
        iteration, batches = pending = self._pending.popleft()
        loss = pending.mean()
        self._known.append(loss)
        if not math.isfinite(loss) and not self._has_diverged:
            self._has_diverged = True
            message = self._divergence(iteration, loss)
            if self._param.stop_at_non_finite_loss:
                raise DivergedError(f"{message} Training stops: stop_at_non_finite_loss is set.")
            log_obstacle(message)
        elif self._saturation.add_iteration(batches):
            logger.warning(self._stuck(iteration, loss))

    def _divergence(self, iteration: int, loss: float) -> str:
        rate = learning_rate(self._param, iteration)
        return (
            f"Iteration {iteration}: the loss is {loss:g}, and training will not "
            f"recover from that. Most often the rate is too high (lr = {rate:g}): lower "
            "base_lr or set clip_gradients, and look for wrong values in the data."
        )

    def _stuck(self, iteration: int, loss: float) -> str:
        rate = learning_rate(self._param, iteration)
        return (
            f"Iteration {iteration}: the loss is {loss:g} and stays there: the net gives the "
            "right classes of samples the probability 0 (their loss is then 87.3365, -log of "
            "the smallest float32), and training hardly recovers from that. Most often the "
            f"rate is too high (lr = {rate:g}) or the input is not scaled: lower base_lr, "
            "scale the data, and check labels and weight_filler."
        )

    def values(self) -> list[float]:
        """Wait for all losses and return the last `average_loss`.

        Raises
        ------
        LabelError
            If a label is not a class; see `LossFuture`.
        DivergedError
            If a loss is not finite and stop_at_non_finite_loss is set.
        """
        while self._pending:
            self._read()
        return list(self._known)

    def mean(self) -> float:
        """Wait for all losses and return the mean of the last ones; NaN if there is none."""
        values = self.values()
        return sum(values) / len(values) if values else float("nan")

    def restore(self, values: Iterable[float]) -> None:
        """Replace all losses."""
        self._pending.clear()
        self._known.clear()
        self._known.extend(values)
