"""The file jobs.json: read by all boards of a folder, changed by one at a time."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import MinicaffeError
from minicaffe.log import logger
from minicaffe.runs.process import ProcessIdentity
from minicaffe.web.jobs.job import WAITING, Job, JobBook
from minicaffe.web.jobs.status import read_status

if sys.platform != "win32":
    import fcntl

_LOCK_S, _PAUSE_S = 5.0, 0.01


class JobStore:
    """Keeps the queue of a folder on the disk.

    Parameters
    ----------
    root : Path
        The folder of the board.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / ".minicaffe"
        self._path = self._folder / "jobs.json"

    def status_path(self, number: int) -> Path:
        """Return the path of the status of a job."""
        return self._folder / "jobs" / f"{number}.json"

    def log_path(self, number: int) -> Path:
        """Return the path of the log of a job."""
        return self._folder / "jobs" / f"{number}.log"

    def remove_files(self, number: int) -> None:
        """Remove status and log of a job."""
        for path in (self.status_path(number), self.log_path(number)):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def book(self) -> JobBook:
        """Return the queue; an empty one if there is none or its file is damaged."""
        try:
            return _book_of(self._path.read_bytes())
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return JobBook()

    @contextmanager
    def changing(self) -> Iterator[JobBook]:
        """Let no other board change the queue inside the block; write it if it has changed.

        Raises
        ------
        MinicaffeError
            If the queue cannot be locked or written. What the block has done is then lost.
        """
        with self._locked():
            book = self._read()
            before = _text_of(book)
            yield book
            if (text := _text_of(book)) != before:
                with write_atomically(self._path) as file:
                    file.write(text.encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if sys.platform == "win32":
            raise MinicaffeError("jobs need locks of files, which this system does not have")
        handle = self._open_lock()
        try:
            end = time.monotonic() + _LOCK_S
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise MinicaffeError(
                            f"{self._path}: another board has locked it for {_LOCK_S:g} s. "
                            "Try again."
                        ) from None
                    time.sleep(_PAUSE_S)
                except OSError as error:
                    raise MinicaffeError(
                        f"{self._path}: cannot be locked: {error.strerror}. Jobs need a file "
                        "system with locks."
                    ) from error
            yield
        finally:
            os.close(handle)

    def _open_lock(self) -> int:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            # What waits in a queue is run: nobody else may put commands into it.
            if self._folder.stat().st_uid != os.geteuid():
                raise MinicaffeError(
                    f"{self._folder}: belongs to another user, whose jobs are not run. Choose a "
                    "folder of your own, or remove it."
                )
            (self._folder / "jobs").mkdir(exist_ok=True)
            path = self._folder / "jobs.lock"
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MinicaffeError(
                f"{self._folder}: cannot be written: {error.strerror}. The queue of jobs is "
                "kept in it."
            ) from error

    def _read(self) -> JobBook:
        """Return the queue. A damaged file is put aside, and what its jobs say is collected."""
        try:
            return _book_of(self._path.read_bytes())
        except FileNotFoundError:
            return self._recovered()
        except OSError as error:
            raise MinicaffeError(f"{self._path}: cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, LookupError, AttributeError):
            damaged = self._path.with_name(f"jobs.damaged-{time.time_ns()}.json")
            with suppress(OSError):
                self._path.rename(damaged)
            logger.warning(
                f"{self._path}: damaged; it is kept as {damaged.name}. Jobs that had begun are in "
                "the queue again, those that waited are not."
            )
            return self._recovered()

    def _recovered(self) -> JobBook:
        """Return a queue of the jobs that have begun."""
        book = JobBook()
        numbers = sorted(
            int(path.stem)
            for path in (self._folder / "jobs").glob("*.json")
            if path.stem.isdecimal()
        )
        for number in numbers:
            status = read_status(self.status_path(number))
            if status is not None and status.has_begun:
                book.jobs.append(Job(number, list(status.words), status.folder, WAITING))
        book.following = max(numbers, default=0) + 1
        return book


def _text_of(book: JobBook) -> str:
    return json.dumps(asdict(book), indent=1) + "\n"


def _book_of(data: bytes) -> JobBook:
    values = json.loads(data)
    return JobBook(
        int(values["following"]),
        [Job.of_json(one) for one in values["jobs"]],
        [ProcessIdentity(**one) for one in values["stopping"]],
    )
