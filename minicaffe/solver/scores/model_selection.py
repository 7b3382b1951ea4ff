"""The score of a training: which output of the tests it is, its best value, the weights kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from minicaffe.atomic_file import link_or_copy
from minicaffe.errors import SolverError, nearest
from minicaffe.layers.base import State
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.schema import SolverParameter, SolverSource
from minicaffe.solver.reports import ScoreReport
from minicaffe.solver.scores.output_scores import scalar_outputs

# Parts of the names of outputs that are better the smaller they are.
_COSTS = ("loss", "err", "cost")
_DIRECTIONS = ("max", "min")


@dataclass(frozen=True)
class Score:
    """The value of the score in one test."""

    iteration: int
    value: float


@dataclass(frozen=True)
class ScoreOutput:
    """The output of a test net that tells models apart.

    Attributes
    ----------
    net : int
        Index of the test net.
    name : str
        The blob.
    is_maximum : bool
        Whether the largest value is the best.
    """

    net: int
    name: str
    is_maximum: bool

    def value(self, report: ScoreReport) -> float | None:
        """Return the output's value in a report, None if the report is of another test net."""
        return report.outputs.get(self.name) if report.net == self.net else None

    def is_better(self, value: float, best: float) -> bool:
        """Return whether a value is better than the best one so far; NaN is not."""
        return value > best if self.is_maximum else value < best


class ModelSelection:
    """Follows the score of a training, and keeps the weights of its best test.

    Parameters
    ----------
    source : SolverSource
        Its fields keep_best and patience are read.
    test_nets : sequence of Net

    Attributes
    ----------
    output : ScoreOutput or None
        That of keep_best; by default the first output of a test net that is one number and no
        loss, otherwise the first that is one number; None if there is none.
    best, last : Score or None
        None before the first test.
    suffix : str
        End of the names of weights files.
    best_path : Path
        Where keep_best writes weights.
    best_weights : Path or None
        The file with the weights of the best test; None unless it has been written.

    Raises
    ------
    SolverError
        If keep_best or patience is set, and no test net has such an output.
    """

    def __init__(self, source: SolverSource, test_nets: Sequence[Net]) -> None:
        param = source.param
        self._keeps, self._patience = bool(param.keep_best), param.patience
        self.output = _chosen_output(source, test_nets)
        self.best: Score | None = None
        self.last: Score | None = None
        as_hdf5 = param.snapshot_format == SolverParameter.HDF5
        self.suffix = ".caffemodel.h5" if as_hdf5 else ".caffemodel"
        self.best_path = Path(f"{param.snapshot_prefix}_best{self.suffix}")
        self.best_weights: Path | None = None
        self._tests_since_best = 0

    def add(self, report: ScoreReport) -> None:
        """Add the scores of a test net."""
        value = self.output.value(report) if self.output is not None else None
        if self.output is None or value is None:
            return
        self.last = Score(report.iteration, value)
        self._tests_since_best += 1
        if not math.isnan(value) and (
            self.best is None or self.output.is_better(value, self.best.value)
        ):
            self.best, self.best_weights = self.last, None
            self._tests_since_best = 0

    def keep_best(self, net: Net) -> None:
        """Write the weights after a test that was better than all before, if keep_best is set.

        Raises
        ------
        SnapshotError
            If the file cannot be written; that of the best test before is then unchanged.
        """
        if not self._keeps or self.best is None or self.best is not self.last:
            return
        save_net(net, self.best_path)
        self.best_weights = self.best_path
        logger.info(f"Kept the weights of {self._best_text()} in {self.best_path}")

    def is_exhausted(self) -> bool:
        """Return whether patience is set, and so many tests were not better; logs that."""
        if not self._patience or self._tests_since_best < self._patience:
            return False
        logger.info(
            f"Stopping early: no better test in {self._tests_since_best} tests (patience: "
            f"{self._patience}). The best is {self._best_text()}."
        )
        return True

    def _best_text(self) -> str:
        if self.best is None or self.output is None:
            return "none"
        return f"iteration {self.best.iteration}, {self.output.name} = {self.best.value:g}"

    def state(self) -> State:
        """Return what a resumed run needs: the best score and its file."""
        state: State = {"output": self._key(), "tests_since_best": self._tests_since_best}
        for name, score in (("best", self.best), ("last", self.last)):
            state[name] = None if score is None else [score.iteration, score.value]
        if self.best_weights is not None:
            with suppress(OSError):
                status = self.best_weights.stat()
                state["weights"] = str(self.best_weights)
                state["status"] = [status.st_mtime_ns, status.st_size]
        return state

    def restore(self, state: State) -> None:
        """Go on from a state, unless it is of another output."""
        if state.get("output") != self._key():
            return
        self.best_weights = None
        self._tests_since_best = int(state["tests_since_best"])
        self.best, self.last = _score(state["best"]), _score(state["last"])
        if "weights" in state:
            # A later test, or another training, may have replaced the file since.
            path = Path(str(state["weights"]))
            with suppress(OSError):
                status = path.stat()
                if [status.st_mtime_ns, status.st_size] == list(state["status"]):
                    self.best_weights = path

    def take_over(self) -> None:
        """Bring the best weights of the run that is resumed to `best_path`."""
        found = self.best_weights
        if not self._keeps or found is None or found == self.best_path:
            return
        try:
            link_or_copy(found, self.best_path)
        except OSError as error:
            logger.warning(f"{self.best_path} cannot be written: {error.strerror}.")
        else:
            self.best_weights = self.best_path

    def _key(self) -> list[str | int | bool]:
        output = self.output
        return [] if output is None else [output.net, output.name, output.is_maximum]


def _chosen_output(source: SolverSource, test_nets: Sequence[Net]) -> ScoreOutput | None:
    """Return the output that the solver names, or the default one."""
    param = source.param
    found = [
        ScoreOutput(k, name, not (name in net.loss_weights() or is_cost(name)))
        for k, net in enumerate(test_nets)
        if param.test_iter[k] and param.test_interval
        for name in scalar_outputs(net)
    ]
    field = "keep_best" if param.keep_best else "patience"
    if not found:
        if param.keep_best or param.patience:
            raise SolverError(
                f"{source.where(field)}: {field} needs a test with an output that is one number. "
                "Set test_iter and test_interval."
            )
        return None
    if not param.keep_best:
        # False comes first: an output that is no loss.
        return min(found, key=lambda output: not output.is_maximum)
    name, _, direction = param.keep_best.rpartition(":")
    if direction not in _DIRECTIONS:
        name, direction = param.keep_best, ""
    chosen = next((output for output in found if output.name == name), None)
    if chosen is None:
        names = [output.name for output in found]
        raise SolverError(
            f'{source.where("keep_best")}: keep_best: "{param.keep_best}": no test net has an '
            f'output "{name}" that is one number. {nearest(name, names)} '
            '"accuracy:max" and "loss:min" set the direction.'
        )
    is_maximum = direction == "max" if direction else chosen.is_maximum
    return ScoreOutput(chosen.net, chosen.name, is_maximum)


def _score(state: Sequence[float] | None) -> Score | None:
    return None if state is None else Score(int(state[0]), float(state[1]))


def is_cost(name: str) -> bool:
    """Return whether the smallest value of an output with this name is the best."""
    return any(part in name.lower() for part in _COSTS)
