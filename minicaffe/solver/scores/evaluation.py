"""Tests while training: the scores of the test nets, and what exact resuming needs of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minicaffe.layers.base import State
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.schema import SolverParameter
from minicaffe.solver.display import log_outputs, named_values
from minicaffe.solver.reports import ScoreReport
from minicaffe.solver.scores.output_scores import OutputScores


class Evaluation:
    """Scores the test nets of a training.

    Parameters
    ----------
    param : SolverParameter
    net : Net
        The net being trained, whose parameters the test nets share.
    test_nets : sequence of Net
    """

    def __init__(self, param: SolverParameter, net: Net, test_nets: Sequence[Net]) -> None:
        self._param, self._net, self._test_nets = param, net, test_nets
        # The states of the test nets at the start of the test that is running, if one is.
        self._before: list[State] | None = None

    def run(
        self,
        iteration: int,
        is_interrupted: Callable[[], bool],
        observers: Sequence[Callable[[ScoreReport], object]],
    ) -> None:
        """Score every test net, and report the scores.

        Parameters
        ----------
        iteration : int
        is_interrupted : callable
            Asked before each batch whether to end the test.
        observers : sequence of callable
            Called with the report of each test net.
        """
        self._before = [net.state() for net in self._test_nets]
        for index in range(len(self._test_nets)):
            if not self._score(index, iteration, is_interrupted, observers):
                # A resumed run makes this test again, from its beginning.
                for net, state in zip(self._test_nets, self._before, strict=True):
                    net.restore(state)
                break
        self._before = None

    def states(self) -> list[State]:
        """Return the states of the test nets that a resumed run goes on from."""
        return self._before or [net.state() for net in self._test_nets]

    def _score(
        self,
        index: int,
        iteration: int,
        is_interrupted: Callable[[], bool],
        observers: Sequence[Callable[[ScoreReport], object]],
    ) -> bool:
        """Score one test net and log the means; return False if the test was interrupted."""
        logger.info(f"Iteration {iteration}, Testing net (#{index})")
        param, net = self._param, self._test_nets[index]
        net.share_parameters_with(self._net)
        n = param.test_iter[index]
        scores, loss = OutputScores(net, param.ap_version), 0.0
        for _ in range(n):
            if is_interrupted():
                logger.info("Test interrupted.")
                return False
            net.forward()
            loss += net.loss() if param.test_compute_loss else 0.0
            scores.add()
        if n:
            if param.test_compute_loss:
                logger.info(f"Test loss: {loss / n:g}")
            values = scores.scores(param.show_per_class_result)
            log_outputs("Test", net, values)
            for observe in observers:
                observe(ScoreReport(iteration, index, named_values(net, values)))
        return True
