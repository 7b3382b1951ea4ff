"""Writing the snapshots of a training, where a failure must not lose what was learned."""

from __future__ import annotations

from minicaffe.errors import DivergedError, Postponed, SnapshotError
from minicaffe.log import logger
from minicaffe.solver.reports import Observers, SnapshotReport
from minicaffe.solver.snapshots.snapshot import SnapshotContents, snapshot_names, write_snapshot
from minicaffe.solver.snapshots.snapshot_prefix import RecentSnapshots


class SnapshotWriter:
    """Writes the snapshots of a training, and reports them.

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
        self._failure = Postponed()
        self.recent = RecentSnapshots(contents.param)

    @property
    def is_wanted(self) -> bool:
        """Whether the training writes snapshots at all."""
        return bool(self._param.snapshot_after_train or self._param.snapshot)

    def write_now(self, iteration: int) -> None:
        """Write weights and solver state.

        Raises
        ------
        SnapshotError
            If a file cannot be written.
        DivergedError
            If a weight is not finite.
        """
        write_snapshot(self._contents, iteration)
        self.recent.add(iteration)
        report = SnapshotReport(iteration, *snapshot_names(self._param, iteration))
        for observe in self._observers.snapshots:
            observe(report)

    def try_write(self, iteration: int) -> None:
        """Write a snapshot, and log a failure: if it ended the training, the weights were lost."""
        try:
            self.write_now(iteration)
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
        """Write a snapshot before an error ends the training; the log and the error name it."""
        try:
            if not self._is_saved(iteration):
                self.write_now(iteration)
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
