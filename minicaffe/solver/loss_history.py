"""The losses of the last iterations, read from the device without waiting for it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from minicaffe.distributed.communicator import ALONE
from minicaffe.errors import DivergedError
from minicaffe.log import log_obstacle, logger
from minicaffe.net.loss_future import LossFuture
from minicaffe.schema import SolverParameter
from minicaffe.solver.lr_policy import learning_rate
from minicaffe.solver.parallel.agreement import Agreement
from minicaffe.solver.saturation import SaturationDetector

_ONE_PROCESS = Agreement(ALONE)
# A loss is read at the latest so many iterations after its own: the largest delay of a warning.
LONGEST_DELAY = 100


class _PendingLoss(NamedTuple):
    """An iteration and the losses of its batches, whose mean is its loss."""

    iteration: int
    batches: Sequence[LossFuture]

    @property
    def is_done(self) -> bool:
        return all(loss.is_done for loss in self.batches)

    def read(self) -> tuple[float, float]:
        """Wait; return the loss, and the largest share of its limit that one of its parts has."""
        total = 0.0
        for loss in self.batches:
            total += loss.result()
        return total / len(self.batches), max(loss.saturation for loss in self.batches)


class LossHistory:
    """The last `average_loss` losses; logs a warning when the first of all is not finite.

    A loss is read when its future is done, so that a backend that computes asynchronously is not
    waited for in every iteration.

    With several processes, a loss is the mean of theirs. Each offers its loss in the iteration
    after, because a future may be done on one process and not on another.

    Parameters
    ----------
    param : SolverParameter
        Sets average_loss, and the rate that the warning names.
    ranks : Agreement, optional
        The processes of the training.
    """

    def __init__(self, param: SolverParameter, ranks: Agreement = _ONE_PROCESS) -> None:
        self._param, self._ranks = param, ranks
        self._known: deque[float] = deque(maxlen=param.average_loss)
        self._pending: deque[_PendingLoss] = deque()
        self._iteration = 0  # of the loss that was read last
        self._has_diverged = False
        self._saturation = SaturationDetector()

    def add(self, iteration: int, batches: Sequence[LossFuture]) -> None:
        """Add an iteration's loss; read all that are done, and those older than LONGEST_DELAY."""
        self._pending.append(_PendingLoss(iteration, batches))
        if not self._ranks.is_alone:
            return
        while self._pending and (self._pending[0].is_done or len(self._pending) > LONGEST_DELAY):
            self.accept(self._read())

    def _read(self) -> tuple[float, float]:
        """Read the oldest pending loss and its saturation, for `accept`."""
        pending = self._pending.popleft()
        self._iteration = pending.iteration
        return pending.read()

    def offered(self) -> Sequence[float]:
        """Return what this process found of the last iteration but one, to take the mean of."""
        is_ready = len(self._pending) > 1 and not self._ranks.is_alone
        return self._read() if is_ready else ()

    def accept(self, found: Sequence[float]) -> None:
        """Add the means of what all processes have offered; () for nothing."""
        if not found:
            return
        iteration, (loss, saturation) = self._iteration, found
        self._known.append(loss)
        if not math.isfinite(loss) and not self._has_diverged:
            self._has_diverged = True
            message = self._divergence(iteration, loss)
            if self._param.stop_at_non_finite_loss:
                raise DivergedError(f"{message} Training stops: stop_at_non_finite_loss is set.")
            log_obstacle(message)
        elif self._saturation.add_iteration(saturation):
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
        """Wait for all losses, those of other processes too, and return the last `average_loss`.

        Raises
        ------
        LabelError
            If a label is not a class; see `LossFuture`.
        DivergedError
            If a loss is not finite and stop_at_non_finite_loss is set.
        """
        while self._pending:
            self.accept(self._ranks.means(self._read()))
        return list(self._known)

    def without_others(self) -> list[float]:
        """Return the last `average_loss` without waiting for other processes.

        With several, the losses that are not yet the means of all are left out.
        """
        return self.values() if self._ranks.is_alone else list(self._known)

    def mean(self) -> float:
        """Wait for all losses and return the mean of the last ones; NaN if there is none."""
        return _mean(self.values())

    def mean_without_others(self) -> float:
        """Return `mean` of the losses of `without_others`."""
        return _mean(self.without_others())

    def restore(self, values: Iterable[float]) -> None:
        """Replace all losses."""
        self._pending.clear()
        self._known.clear()
        self._known.extend(values)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
