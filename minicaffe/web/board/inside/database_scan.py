"""A scan of a database: its classes and the keys of their records, in a thread of low priority."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict, defaultdict
from pathlib import Path

from minicaffe.data.databases.stored_record import parse_record
from minicaffe.data.db import Database, open_any_database, printable
from minicaffe.data.survey import DatasetSurvey
from minicaffe.errors import DataError, MinicaffeError
from minicaffe.web.board.inside.low_priority import give_way

_MOST_KEYS = 20_000  # of a class, and of all
_UNWATCHED_S = 30.0
_MOST_SCANS = 4


class DatabaseScan:
    """Counts the records of each class and notes keys. Images are not decoded.

    Parameters
    ----------
    path : Path
        The database.

    Attributes
    ----------
    n_scanned, n_records : int
        How far it is; the number of records is 0 while it is not known.
    n_damaged : int
    survey : DatasetSurvey
    problem : str
        Why the database cannot be read, or "".
    is_complete, is_ended : bool
        A scan whose page nobody looks at ends before it is complete.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.survey = path, DatasetSurvey(path.name)
        self.n_scanned = self.n_records = self.n_damaged = 0
        self.problem, self.is_complete, self.is_ended = "", False, False
        self._keys: dict[int | None, list[bytes]] = defaultdict(list)
        self._lock, self._asked = threading.Lock(), time.monotonic()
        threading.Thread(target=self._run, name="scan", daemon=True).start()

    def keys(self, label: int | None) -> list[bytes]:
        """Return keys of records that have a label; None: of all records. At most 20,000."""
        with self._lock:
            return list(self._keys.get(label, ()))

    def class_counts(self) -> dict[int, tuple[int, int]]:
        """Return the number of images and of boxes of each label."""
        with self._lock:
            images, boxes = dict(self.survey.labels), dict(self.survey.boxes)
        return {
            label: (images.get(label, 0), boxes.get(label, 0))
            for label in sorted({*images, *boxes})
        }

    def label_notes(self) -> list[str]:
        """Return what is unusual about the labels."""
        with self._lock:
            return list(self.survey.label_remarks()) if self.is_complete else []

    def keep_on(self) -> None:
        """Note that a reader waits for it."""
        self._asked = time.monotonic()

    def _run(self) -> None:
        give_way()
        try:
            with contextlib.closing(open_any_database(str(self.path))) as database:
                self._scan(database)
        except MinicaffeError as error:
            self.problem = str(error)
        self.is_ended = True

    def _scan(self, database: Database) -> None:
        self.n_records = len(database)
        for key, value in database.items():
            with self._lock:
                self._add(key, value)
                self.n_scanned += 1
            if time.monotonic() - self._asked > _UNWATCHED_S:
                return
        self.is_complete = True

    def _add(self, key: bytes, value: bytes) -> None:
        try:
            record = parse_record(key, value, printable(key))
        except DataError:
            self.n_damaged += 1
            return
        labels: set[int | None]
        if record.objects is None:
            self.survey.add(record.label, record.image.shape)
            labels = {None, record.label}
        else:
            boxes = [int(label) for label in record.objects[:, 0]]
            self.survey.add_boxes(boxes, record.image.shape)
            labels = {None, *boxes}
        for label in labels:
            if len(self._keys[label]) < _MOST_KEYS:
                self._keys[label].append(key)


class ScanShelf:
    """Keeps the newest scans; one whose database has changed, or that was left, begins anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scans: OrderedDict[tuple[Path, int], DatabaseScan] = OrderedDict()

    def scan(self, path: Path) -> DatabaseScan:
        """Return the scan of a database, which begins if there is none."""
        version = max((file.stat().st_mtime_ns for file in path.iterdir()), default=0)
        key = path, version
        with self._lock:
            known = self._scans.pop(key, None)
            if known is None or (known.is_ended and not known.is_complete and not known.problem):
                known = DatabaseScan(path)
            self._scans[key] = known
            if len(self._scans) > _MOST_SCANS:
                self._scans.popitem(last=False)
        known.keep_on()
        return known
