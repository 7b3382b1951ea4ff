"""Logging in glog's line format, as Caffe's log parsers expect it (date as MMDD, without year).

    I1122 06:41:37.133538  3497 train.py:75] Use CPU.

A line is: severity letter, month and day, time, thread id, source file and line, message. Parsers
(parse_log.py, DIGITS, many scripts) rely on that prefix, so it is part of the interface.

Modules log with ``from minicaffe.log import logger``. Nothing is printed until a program calls
`to_stderr` or `to_directory`, as the command line and pycaffe do.
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
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from minicaffe.text.colours import coloured, has_colours

logger = logging.getLogger("minicaffe")
logger.addHandler(logging.NullHandler())
logger.propagate = False
logger.setLevel(logging.INFO)

# Indexed by glog's levels: 0 info, 1 warning, 2 error, 3 fatal.
LEVELS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_LETTERS = {
    logging.DEBUG: "I",
    logging.INFO: "I",
    logging.WARNING: "W",
    logging.ERROR: "E",
    logging.CRITICAL: "F",
}

# A terminal shows a line of `log_repetition` so often; pipes and files receive all of them.
_REPETITION_S = 60.0


class GlogFormatter(logging.Formatter):
    """Formats a record as glog does with ``log_year_in_prefix=false``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the prefix and the message; a message of several lines has one prefix."""
        stamp = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        micros = int(record.created % 1 * 1e6)
        thread = getattr(record, "native_thread", None) or threading.get_native_id()
        letter = _LETTERS.get(record.levelno, "I")
        where = f"{record.filename}:{record.lineno}"
        return f"{letter}{stamp}.{micros:06d} {thread:5d} {where}] {record.getMessage()}"


def min_level_from_environment() -> int:
    """Return the logging level that GLOG_minloglevel sets (default: INFO)."""
    text = os.environ.get("GLOG_minloglevel", "0")
    return level_of(int(text) if text.isdigit() else 0)


def level_of(number: int) -> int:
    """Return the `logging` level of a glog level, 0 (info) to 3 (fatal)."""
    return LEVELS[max(0, min(number, len(LEVELS) - 1))]


class _Handler(logging.Handler):
    """Can be interrupted by a signal handler that raises, as Ctrl-C in a notebook does.

    `logging` before Python 3.13 acquires the lock of a handler in Python code. Interrupted there,
    it keeps the lock, and the next line of another thread, such as that of the data, waits for
    ever.
    """

    def handle(self, record: logging.LogRecord) -> bool | logging.LogRecord:  # type: ignore[override]
        """Handle a record while the lock is held."""
        with self.lock or nullcontext():
            return super().handle(record)

    def acquire(self) -> None:
        """Do nothing; `handle` holds the lock."""

    def release(self) -> None:
        """Do nothing; `handle` holds the lock."""


class _Stderr(_Handler, logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the current sys.stderr, because test runners and notebooks replace it.

    Attributes
    ----------
    threshold : int
        The smallest level to print; lines of `log_result` are printed in any case. The handler's
        own level would drop them.
    rank : int
        Number of the process among those of a training. If it is not 0, warnings and errors only
        are printed, with the number.
    """

    threshold = logging.INFO
    rank = 0
    _last_repetition = -_REPETITION_S

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to print a record."""
        if self.rank and record.levelno < logging.WARNING:
            return False
        is_wanted = record.levelno >= self.threshold or hasattr(record, "is_result")
        if is_wanted and hasattr(record, "is_repetition") and self.stream.isatty():
            is_wanted = record.created - self._last_repetition >= _REPETITION_S
            self._last_repetition = record.created if is_wanted else self._last_repetition
        return is_wanted and bool(super().filter(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line.

        On a terminal, those of warnings are yellow and those of errors red, and results that are
        shown without the rest of the log have no prefix.
        """
        line = super().format(record)
        if self.rank and not hasattr(record, "names_rank"):
            line = line.replace("] ", f"] [rank {self.rank}] ", 1)  # behind the prefix
        if record.levelno < self.threshold and hasattr(record, "is_result"):
            return record.getMessage() if self.stream.isatty() else line
        if record.levelno < logging.WARNING or not has_colours(self.stream):
            return line
        return coloured(line, "yellow" if record.levelno == logging.WARNING else "red")

    @property
    def stream(self):  # type: ignore[no-untyped-def]
        return sys.stderr

    @stream.setter
    def stream(self, value: object) -> None:
        pass

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Stop logging to a broken pipe (``2>&1 | head``) instead of ending the training."""
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            logger.removeHandler(self)
        else:
            super().handleError(record)


class _LogFile(_Handler, logging.FileHandler):
    """Writes to a file until that fails: then a warning names it, and logging to it ends."""

    _has_ended = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless another thread has found that the file cannot be written."""
        if not self._has_ended:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """End logging to a file that cannot be written, instead of ending the training."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._has_ended = True
        self.close()
        logger.warning(
            "%s: the log cannot be written: %s. It ends here; the command goes on.",
            self.baseFilename,
            error.strerror,
        )

    def close(self) -> None:
        """Close the file, which may still hold what could not be written."""
        logger.removeHandler(self)
        with suppress(OSError):
            super().close()


def to_stderr(level: int | None = None) -> None:
    """Print log lines on stderr; repeated calls change the level only.

    Parameters
    ----------
    level : int, optional
        A `logging` level; by default that of GLOG_minloglevel.
    """
    chosen = min_level_from_environment() if level is None else level
    handler = next((h for h in logger.handlers if isinstance(h, _Stderr)), None)
    if handler is None:
        handler = _Stderr()
        handler.setFormatter(GlogFormatter())
        logger.addHandler(handler)
    handler.threshold = chosen


def name_rank(rank: int) -> None:
    """Print warnings and errors only on stderr, with the number of this process, unless it is 0."""
    for handler in logger.handlers:
        if isinstance(handler, _Stderr):
            handler.rank = rank


def log_rank_error(message: str) -> None:
    """Log an error whose text names the number of this process."""
    logger.error(message, extra={"names_rank": True}, stacklevel=2)


def hide_info() -> None:
    """Print warnings and errors only on stderr, and those only that --minloglevel lets through."""
    for handler in logger.handlers:
        if isinstance(handler, _Stderr):
            handler.threshold = max(handler.threshold, logging.WARNING)


def to_directory(directory: str | Path, program: str = "minicaffe") -> Path:
    """Also write log lines to a new file in `directory`, with glog's file name.

    The name is ``PROGRAM.HOST.USER.log.INFO.YYYYMMDD-HHMMSS.PID``; a symbolic link
    ``PROGRAM.INFO`` in the same folder points to it.

    Returns
    -------
    Path
        The log file.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = f"{program}.{platform.node()}.{_user()}.log.INFO.{stamp}.{os.getpid()}"
    handler = _LogFile(folder / name, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(GlogFormatter())
    logger.addHandler(handler)
    link = folder / f"{program}.INFO"
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(name)
    except OSError:
        logger.debug("cannot create the symbolic link %s on this file system", link)
    return folder / name


class LogRecorder(_Handler):
    """Keeps log lines in memory until `continue_in` names a file for them and all later ones."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(GlogFormatter())
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line of a record."""
        self._lines.append(f"{self.format(record)}\n")

    def continue_in(self, path: Path) -> None:
        """Append the lines so far to a file, and log to it from now on.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(GlogFormatter())
        try:
            if handler.stream is not None:
                handler.stream.writelines(self._lines)
            handler.flush()
        except OSError:
            handler.close()
            raise
        logger.addHandler(handler)
        logger.removeHandler(self)


@contextmanager
def recorded_log() -> Iterator[LogRecorder]:
    """Keep the log lines of a block, until the recorder is given a file."""
    recorder = LogRecorder()
    logger.addHandler(recorder)
    try:
        yield recorder
    finally:
        logger.removeHandler(recorder)


def close_files() -> None:
    """Close the log files of a command."""
    for handler in [h for h in logger.handlers if isinstance(h, logging.FileHandler)]:
        handler.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        return "unknown"


def log_repetition(message: str) -> None:
    """Log a line that may come many times a second: a terminal shows one a minute."""
    logger.info(message, extra={"is_repetition": True}, stacklevel=2)


def log_result(message: str) -> None:
    """Log a line that a command was run for: it is printed whatever --minloglevel is."""
    logger.info(message, extra={"is_result": True}, stacklevel=2)


def log_obstacle(message: str) -> None:
    """Log a warning of what makes a run useless, which programs may take as an error."""
    logger.warning(message, extra={"is_obstacle": True}, stacklevel=2)


class LoggedWarning(NamedTuple):
    """A warning or an error in the log.

    Parameters
    ----------
    text : str
    is_obstacle : bool
        Whether it is an error, or came from `log_obstacle`.
    """

    text: str
    is_obstacle: bool


@contextmanager
def collected_warnings() -> Iterator[list[LoggedWarning]]:
    """Collect the warnings of a block, each once; no line is printed inside it."""
    found: dict[LoggedWarning, None] = {}
    result: list[LoggedWarning] = []

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            is_error = record.levelno >= logging.ERROR
            one = LoggedWarning(record.getMessage(), is_error or hasattr(record, "is_obstacle"))
            if one not in found:
                found[one] = None
                result.append(one)
        return False

    logger.addFilter(collect)
    try:
        yield result
    finally:
        logger.removeFilter(collect)


@contextmanager
def suppress_repeated_warnings() -> Iterator[None]:
    """Suppress a warning inside a block if one with the same text came before it there."""
    known: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        text = record.getMessage() if record.levelno == logging.WARNING else ""
        if text in known:
            return False
        known.update(filter(None, [text]))
        return True

    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)


@contextmanager
def suppress_info() -> Iterator[None]:
    """Suppress log lines below WARNING inside a block."""
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
