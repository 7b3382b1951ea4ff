"""The schedule of a training: learning rate, weight decay and momentum of each iteration."""

from __future__ import annotations

from collections.abc import Callable

from minicaffe.log import logger
from minicaffe.schema import SolverParameter
from minicaffe.solver.lr_policy import is_ramping, learning_rate, steps_reached
from minicaffe.solver.plateau import Plateau
from minicaffe.solver.rules import Rule
from minicaffe.solver.update_settings import UpdateSettings, momentum, weight_decay


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
        rate = self.rate(iteration)
        return UpdateSettings(
            rate * self._rule.correction(self._param, iteration + 1),
            weight_decay(self._param, iteration),
            momentum(self._param, iteration, rate),
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
