"""Writing the snapshots of a training, where a failure must not lose what was learned."""

from __future__ import annotations

from functools import partial

from minicaffe.errors import DivergedError, Postponed, SnapshotError
from minicaffe.log import logger
from minicaffe.solver.parallel.agreement import Agreement
from minicaffe.solver.parallel.running_statistics import average_running_statistics
from minicaffe.solver.reports import Observers, SnapshotReport
from minicaffe.solver.snapshots.snapshot import SnapshotContents, snapshot_names, write_snapshot
from minicaffe.solver.snapshots.snapshot_prefix import RecentSnapshots
from minicaffe.solver.snapshots.sole_writer import sole_writer


class SnapshotWriter:
    """Writes the snapshots of a training, and reports them; of several processes, rank 0 does.

    Parameters
    ----------
    contents : SnapshotContents
    observers : Observers
        Called with a report of each snapshot.

    Attributes
    ----------
    recent : RecentSnapshots
        Those that keep_last counts.
    """

    def __init__(self, contents: SnapshotContents, observers: Observers) -> None:
        self._contents, self._param, self._observers = contents, contents.param, observers
        self._communicator = contents.parallel.communicator
        self._ranks = Agreement(self._communicator)
        self._failure = Postponed()
        self.recent = RecentSnapshots(contents.param)

    @property
    def is_wanted(self) -> bool:
        """Whether the training writes snapshots at all."""
        return bool(self._param.snapshot_after_train or self._param.snapshot)

    def write_now(self, iteration: int) -> None:
        """Write weights and solver state: rank 0 does, and the other processes wait for it.

        Raises
        ------
        SnapshotError
            If a file cannot be written; on all processes.
        DivergedError
            If a weight is not finite; on all processes.
        """
        self._combine()
        self._ranks.on_root(partial(self._write, iteration))

    def _combine(self) -> None:
        """Let all processes have the same statistics and losses, so that those of rank 0 count.

        Reading the losses raises errors of the last iterations, which are not those of a snapshot.
        """
        contents = self._contents
        average_running_statistics(self._communicator, contents.net, contents.average)
        contents.losses.values()

    def _write(self, iteration: int) -> None:
        write_snapshot(self._contents, iteration)
        self.recent.add(iteration)
        report = SnapshotReport(iteration, *snapshot_names(self._param, iteration))
        for observe in self._observers.snapshots:
            observe(report)

    def try_write(self, iteration: int) -> None:
        """Write a snapshot, and log a failure: if it ended the training, the weights were lost."""
        self._combine()
        try:
            self._ranks.on_root(partial(self._write, iteration))
        except DivergedError as error:
            if self._failure.kind is not DivergedError:
                logger.warning(f"{error} Training goes on, as in Caffe.")
            self._failure.postpone(error)
        except SnapshotError as error:
            logger.error(f"{error} Training goes on; the next snapshot is tried when it is due.")
            self._failure.postpone(error)
        else:
            self._failure.forget()

    def write_last(self, iteration: int) -> None:
        """Write the snapshot after the training, or raise why that of this iteration failed."""
        if self._param.snapshot_after_train and not self._is_saved(iteration):
            self.write_now(iteration)
        else:
            self._failure.raise_if_any()

    def write_before(self, error: Exception, iteration: int) -> None:
        """Write a snapshot before an error ends the training; the log and the error name it.

        The process with the error writes it without the others, which may be computing.
        """
        try:
            if not self._is_saved(iteration):
                with sole_writer(self._param, iteration, self._ranks.is_alone) as is_missing:
                    if is_missing:
                        self._write(iteration)
        except Exception as problem:  # the first error is the one to report
            logger.info(f"No snapshot of iteration {iteration} could be written: {problem}")
            return
        _, state = snapshot_names(self._param, iteration)
        advice = f"Iteration {iteration} is saved: go on with --snapshot={state}"
        logger.info(f"An error ends the training. {advice}")
        error.add_note(advice)

    def _is_saved(self, iteration: int) -> bool:
        """Whether the iteration was one of a snapshot, and that could be written."""
        every = self._param.snapshot
        return bool(every) and not iteration % every and self._failure.kind is None
