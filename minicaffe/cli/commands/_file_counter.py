"""Progress of a conversion in the log: "Processed 1000 files.", as Caffe logs it."""

from __future__ import annotations

from minicaffe.log import logger


class FileCounter:
    """Counts files; logs the count at regular intervals and at the end.

    Parameters
    ----------
    interval : int
        Number of files between two lines of the log.
    n_before : int
        Number of files that an earlier process has converted.
    """

    def __init__(self, interval: int = 1000, n_before: int = 0) -> None:
        self._interval = interval
        self._count = n_before

    def add(self) -> None:
        """Count one more file."""
        self._count += 1
        if self._count % self._interval == 0:
            self._log()

    def finish(self) -> None:
        """Log the total, unless it is the last count logged."""
        if self._count % self._interval:
            self._log()

    def _log(self) -> None:
        logger.info("Processed %d files.", self._count)
