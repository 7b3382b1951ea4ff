"""Log lines in the shape that Caffe's tools and their readers know (glog, four-digit MMDD).

    I1122 06:41:37.133538  3497 train.py:75] Use CPU.

A line is: severity letter, month and day, time, thread id, source file and line, message. Parsers
(parse_log.py, DIGITS, many scripts) rely on that prefix, so it is part of the interface.

Modules log with ``from minicaffe.log import logger``. Nothing is printed until a program asks for
it with `to_stderr` or `to_directory`: the command line and the pycaffe face do.
"""

from __future__ import annotations

import getpass
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("minicaffe")
logger.addHandler(logging.NullHandler())
logger.propagate = False
logger.setLevel(logging.INFO)

# glog's GLOG_minloglevel counts 0 info, 1 warning, 2 error, 3 fatal.
LEVELS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_LETTERS = {
    logging.DEBUG: "I",
    logging.INFO: "I",
    logging.WARNING: "W",
    logging.ERROR: "E",
    logging.CRITICAL: "F",
}


class GlogFormatter(logging.Formatter):
    """Format a record as glog does with ``log_year_in_prefix=false``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return prefix and message; a message of several lines gets one prefix."""
        stamp = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        micros = int(record.created % 1 * 1e6)
        thread = getattr(record, "native_thread", None) or threading.get_native_id()
        letter = _LETTERS.get(record.levelno, "I")
        where = f"{record.filename}:{record.lineno}"
        return f"{letter}{stamp}.{micros:06d} {thread:5d} {where}] {record.getMessage()}"


def min_level_from_environment() -> int:
    """Return the logging level that GLOG_minloglevel asks for (default: INFO)."""
    text = os.environ.get("GLOG_minloglevel", "0")
    return level_of(int(text) if text.isdigit() else 0)


def level_of(number: int) -> int:
    """Return the logging level of one of glog's numbers, 0 (info) to 3 (fatal)."""
    return LEVELS[max(0, min(number, len(LEVELS) - 1))]


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Write to whatever sys.stderr is at the time, as test runners and notebooks replace it."""

    @property
    def stream(self):  # type: ignore[no-untyped-def]
        return sys.stderr

    @stream.setter
    def stream(self, value: object) -> None:
        pass

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Fall silent if the log's reader (``2>&1 | head``) went away: training is worth more."""
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            logger.removeHandler(self)
        else:
            super().handleError(record)


def to_stderr(level: int | None = None) -> None:
    """Print log lines on stderr, once however often it is called.

    Parameters
    ----------
    level : int, optional
        A `logging` level; by default what GLOG_minloglevel says.
    """
    chosen = min_level_from_environment() if level is None else level
    handler = next((h for h in logger.handlers if isinstance(h, _Stderr)), None)
    if handler is None:
        handler = _Stderr()
        handler.setFormatter(GlogFormatter())
        logger.addHandler(handler)
    handler.setLevel(chosen)


def to_directory(directory: str | Path, program: str = "minicaffe") -> Path:
    """Write log lines to a new file in `directory` as well, named as glog names it.

    ``PROGRAM.HOST.USER.log.INFO.YYYYMMDD-HHMMSS.PID``, with the link ``PROGRAM.INFO`` beside it.

    Returns
    -------
    Path
        The file written to.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = f"{program}.{platform.node()}.{_user()}.log.INFO.{stamp}.{os.getpid()}"
    handler = logging.FileHandler(folder / name)
    handler.setFormatter(GlogFormatter())
    logger.addHandler(handler)
    link = folder / f"{program}.INFO"
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(name)
    except OSError:
        logger.debug("no link %s: this file system has none", link)
    return folder / name


def close_files() -> None:
    """End the files that `to_directory` began."""
    for handler in [h for h in logger.handlers if isinstance(h, logging.FileHandler)]:
        logger.removeHandler(handler)
        handler.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        return "unknown"


@contextmanager
def suppress_info() -> Iterator[None]:
    """Keep what a block logs to itself, warnings and errors aside."""
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
