"""Tests while training: the scores of the test nets, and what exact resuming needs of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minicaffe.layers.base import State
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.schema import SolverSource
from minicaffe.solver.display import log_outputs, named_values
from minicaffe.solver.parallel.agreement import Agreement
from minicaffe.solver.reports import Observers, ScoreReport
from minicaffe.solver.scores.model_selection import ModelSelection
from minicaffe.solver.scores.output_scores import OutputScores


@dataclass(frozen=True)
class EvaluationState:
    """States of the test nets, and of the selection of models."""

    nets: list[State]
    selection: State


class Evaluation:
    """Scores the test nets of a training.

    Parameters
    ----------
    source : SolverSource
    net : Net
        The net being trained, whose parameters the test nets share.
    test_nets : sequence of Net
    ranks : Agreement
        The processes of the training. Each computes consecutive batches of every test: its data can
        then be read ahead. All get the same scores.

    Attributes
    ----------
    selection : ModelSelection
        Is given the scores.
    """

    def __init__(
        self, source: SolverSource, net: Net, test_nets: Sequence[Net], ranks: Agreement
    ) -> None:
        self._param, self._net, self._test_nets = source.param, net, test_nets
        self._ranks = ranks
        self.selection = ModelSelection(source, test_nets)
        # The state at the start of the last test, and whether a resumed run makes that test again.
        self._before: EvaluationState | None = None
        self._is_repeated = False

    def run(
        self,
        iteration: int,
        is_interrupted: Callable[[], bool],
        observers: Observers,
    ) -> None:
        """Score every test net, and report the scores.

        Parameters
        ----------
        iteration : int
        is_interrupted : callable
            Asked before each batch whether to end the test, equally often by all processes.
        observers : Observers
            Called before each batch, and with the report of each test net.
        """
        self._is_repeated = False
        self._before = before = self.state()
        self._is_repeated = True
        for index in range(len(self._test_nets)):
            if not self._score(index, iteration, is_interrupted, observers):
                self.restore(before)
                break
        self._is_repeated = False

    def ends_training(self) -> bool:
        """Return whether patience ends the training after the last test.

        A resumed run then makes this test again, and ends again unless its patience is larger.
        """
        self._is_repeated = self.selection.is_exhausted()
        return self._is_repeated

    def state(self) -> EvaluationState:
        """Return the states that a resumed run goes on from."""
        if self._is_repeated and self._before is not None:
            return self._before
        return EvaluationState([net.state() for net in self._test_nets], self.selection.state())

    def restore(self, state: EvaluationState) -> None:
        """Go on from a state."""
        for net, one in zip(self._test_nets, state.nets, strict=False):
            net.restore(one)
        self.selection.restore(state.selection)

    def _score(
        self,
        index: int,
        iteration: int,
        is_interrupted: Callable[[], bool],
        observers: Observers,
    ) -> bool:
        """Score one test net and log the means; return False if the test was interrupted."""
        logger.info(f"Iteration {iteration}, Testing net (#{index})")
        param, net = self._param, self._test_nets[index]
        net.share_parameters_with(self._net)
        n = param.test_iter[index]
        scores, size = OutputScores(net, param.ap_version), self._ranks.size
        own = self._ranks.own_part(n)
        net.skip_batches(own.start)
        for turn in range(-(-n // size)):
            for observe_batch in observers.test_batches:
                observe_batch(turn * size, n)
            if is_interrupted():
                logger.info("Test interrupted.")
                return False
            if turn < len(own):
                net.forward()
                scores.add(net.loss() if param.test_compute_loss else 0.0)
        net.skip_batches(n - own.stop)
        if n:
            scores.combine(self._ranks)
            if param.test_compute_loss:
                logger.info(f"Test loss: {scores.mean_loss:g}")
            values = scores.scores(param.show_per_class_result)
            log_outputs("Test", net, values)
            report = ScoreReport(iteration, index, named_values(net, values))
            for observe in (self.selection.add, *observers.tests):
                observe(report)
        return True
