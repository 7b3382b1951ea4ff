"""What conversions say of their progress, in Caffe's words."""

from __future__ import annotations

from minicaffe.log import logger


class FileCount:
    """Counts files: logs every so many, and at the end what came since.

    Parameters
    ----------
    every : int
        Files from one line of the log to the next.
    """

    def __init__(self, every: int = 1000) -> None:
        self._every = every
        self._count = 0

    def add(self) -> None:
        """Count one more file."""
        self._count += 1
        if self._count % self._every == 0:
            self._log()

    def end(self) -> None:
        """Say how many there were, unless that was said last."""
        if self._count % self._every:
            self._log()

    def _log(self) -> None:
        logger.info("Processed %d files.", self._count)
