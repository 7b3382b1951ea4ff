"""Writes the run folder of a training: what is known at its start, metrics, and how it ended.

Files are written at displays, tests and snapshots only. What cannot be written, on a full disk for
example, is warned of once and never ends the training.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import google.protobuf
import numpy as np

from minicaffe import __version__
from minicaffe.atomic_file import held, link_or_copy
from minicaffe.errors import SnapshotError
from minicaffe.log import LogRecorder, logger
from minicaffe.runs.folder import LOG, remove_run
from minicaffe.runs.metrics import MetricsFile, Value, read_metrics
from minicaffe.runs.process import ProcessIdentity
from minicaffe.runs.record import FAILED, FINISHED, STOPPED, RunRecord, ScoredIteration
from minicaffe.runs.tensorboard import EventFile
from minicaffe.schema import write_prototxt
from minicaffe.solver.parallel.effective_batch import effective_batch_size, first_batch_layer
from minicaffe.solver.reports import DisplayReport, ScoreReport, SnapshotReport
from minicaffe.solver.scores.model_selection import Score
from minicaffe.solver.solver import Solver

# LevelDB counts its records by reading them, so up to so many only. A number that hardly any data
# set has, because a larger one gives it as well.
_MOST_COUNTED = 2003
# As /proc/cpuinfo names them, the widest first.
_INSTRUCTION_SETS = ("amx_tile", "avx512_bf16", "avx512f", "avx2", "avx", "sve", "asimd")


class RunRecorder:
    """Observes a solver and writes a run folder.

    Parameters
    ----------
    solver : Solver
        Before its first iteration.
    record : RunRecord
        With the command; completed here.
    folder : Path or None
        The run folder, which exists; None to write nothing.
    tensorboard : bool
        Whether to write an event file of TensorBoard as well.

    Attributes
    ----------
    record : RunRecord
        Complete after `recording`.
    """

    def __init__(
        self, solver: Solver, record: RunRecord, folder: Path | None, tensorboard: bool = False
    ) -> None:
        self.record, self.folder = record, folder
        self._solver, self._writes_events = solver, tensorboard
        self._files: list[MetricsFile | EventFile] = []
        self._began = time.monotonic()
        self._earlier_s = 0.0
        layer = first_batch_layer(solver.net)
        n = None if layer is None else layer.count_samples(_MOST_COUNTED)
        self._n_samples = None if n == _MOST_COUNTED else n
        record.images_per_iteration = effective_batch_size(
            solver.net, solver.parallel, solver.param.iter_size
        )
        record.processes = solver.parallel.communicator.size
        record.folder = str(Path.cwd())
        record.versions = _versions()
        record.machine = {
            "host": platform.node(),
            "cpu": _cpu_name(),
            "computes_with": solver.backend.description,
        }
        record.process = ProcessIdentity.of(os.getpid())
        record.seed = solver.seed
        record.max_iter = solver.param.max_iter
        record.test_iter = list(solver.param.test_iter)
        if folder is not None:
            solver.selection.best_path = folder / f"best{solver.selection.suffix}"
        if output := solver.selection.output:
            best = "max" if output.is_maximum else "min"
            record.score = {"output": output.name, "net": output.net, "best": best}

    @contextmanager
    def recording(self, log: LogRecorder) -> Iterator[None]:
        """Write the run folder during the block, which trains.

        Parameters
        ----------
        log : LogRecorder
            The log lines so far, which are moved to the folder.

        Notes
        -----
        If an error ends the training before its first update, no folder is left.
        """
        record = self.record
        record.started = _now()
        record.first_iteration = record.iteration = self._solver.iter
        self._began = time.monotonic()
        with ExitStack() as stack:
            if self.folder is not None:
                record.is_locked = bool(stack.enter_context(held(self.folder)))
                self._begin(self.folder, log)
            try:
                yield
            except BaseException as error:
                self._end(STOPPED if isinstance(error, KeyboardInterrupt) else FAILED, str(error))
                if self._solver.iter == record.first_iteration and self.folder is not None:
                    remove_run(self.folder)
                raise
            reason = "patience ended it" if self._solver.lost_patience else ""
            self._end(STOPPED if self._solver.stopped_early else FINISHED, reason)

    def epoch_at(self, iteration: int) -> float | None:
        """Return the number of passes through the training data, None if it is unknown."""
        images, n = self.record.images_per_iteration, self._n_samples
        return round(iteration * images / n, 4) if images and n else None

    def _begin(self, folder: Path, log: LogRecorder) -> None:
        solver, observers = self._solver, self._solver.observers
        try:
            log.continue_in(folder / LOG)
            self._earlier_s = max((row.seconds for row in read_metrics(folder)), default=0.0)
            self._files.append(MetricsFile(folder))
            if self._writes_events:
                self._files.append(EventFile(folder))
            write_prototxt(solver.param, folder / "solver.prototxt")
            write_prototxt(solver.net.param, folder / "train.prototxt")
            for k, net in enumerate(solver.test_nets):
                write_prototxt(net.param, folder / f"test-{k}.prototxt")
            self.record.write_to(folder)
        except (OSError, SnapshotError) as error:
            self._give_up(error)
        observers.displays.append(self._add_display)
        observers.tests.append(self._add_scores)
        observers.snapshots.append(self._add_snapshot)

    def _end(self, state: str, error: str) -> None:
        """Complete run.json."""
        record, selection = self.record, self._solver.selection
        record.state, record.error, record.ended = state, error or record.error, _now()
        record.iteration, record.seconds = self._solver.iter, self._seconds()
        record.best, record.last = _scored(selection.best), _scored(selection.last)
        if record.best is not None and selection.best_weights is not None:
            record.best.weights = str(selection.best_weights)
        for file in self._files:
            file.close()
        if self.folder is not None:
            # If the disk was full, that has been warned of, and there may be space again.
            with suppress(SnapshotError):
                record.write_to(self.folder)

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _add_display(self, report: DisplayReport) -> None:
        images = self.record.images_per_iteration
        speed = report.iterations_per_s * images if images else 0.0
        self._add(
            "train",
            report.iteration,
            lr=report.rate,
            loss=report.loss,
            outputs={**report.outputs},
            images_per_s=round(speed, 2) or None,
        )

    def _add_scores(self, report: ScoreReport) -> None:
        self._add("test", report.iteration, net=report.net, outputs={**report.outputs})

    def _add(self, kind: str, iteration: int, **values: Value) -> None:
        seconds = round(self._earlier_s + self._seconds(), 3)
        epoch = self.epoch_at(iteration)
        row = {"kind": kind, "iteration": iteration, "epoch": epoch, "time": seconds, **values}
        try:
            for file in self._files:
                file.add(row)
        except OSError as error:
            self._give_up(error)

    def _add_snapshot(self, report: SnapshotReport) -> None:
        self.record.snapshot = {"weights": str(report.weights), "state": str(report.state)}
        if self.folder is None:
            return
        suffix = ".h5" if report.weights.suffix == ".h5" else ""
        try:
            link_or_copy(report.weights, self.folder / f"last.caffemodel{suffix}")
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Warn once that the folder cannot be written, and write no more metrics."""
        for file in self._files:
            with suppress(OSError):
                file.close()
        self._files = []
        if not self.record.error:
            reason = getattr(error, "strerror", None) or error
            self.record.error = f"the run folder is incomplete: {reason}"
            logger.warning(
                f"{self.folder}: the run folder is incomplete: {reason}. The training goes on."
            )


def _scored(score: Score | None) -> ScoredIteration | None:
    return None if score is None else ScoredIteration(score.iteration, score.value)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    return {
        "minicaffe": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "protobuf": google.protobuf.__version__,
    }


def _cpu_name() -> str:
    """Return the model of the CPU and its widest instruction set."""
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    model = found.get("model name") or platform.processor() or platform.machine()
    flags = found.get("flags", found.get("Features", "")).split()
    widest = next((name for name in _INSTRUCTION_SETS if name in flags), "")
    return f"{model}, {widest}" if widest else model
