"""The runs of a folder with their summaries and metrics, for requests in several threads."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from minicaffe.runs.metrics import MetricsReader
from minicaffe.web.board.folder import BoardFolder
from minicaffe.web.board.metric_columns import metric_columns
from minicaffe.web.board.run_summary import FollowedRun, Summary

# Between searches for new runs and looks at those that have ended: at least so long, and so many
# times as long as the last one took.
_SEARCH_S, _SEARCH_PAUSE = 2.0, 200
_MOST_READERS = 16


class RunIndex:
    """Knows the runs of a folder.

    Parameters
    ----------
    folder : BoardFolder
    """

    def __init__(self, folder: BoardFolder) -> None:
        self.folder = folder
        self._runs: dict[str, FollowedRun] = {}
        self._next_search = 0.0
        self._lock = Lock()
        self._readers: OrderedDict[str, MetricsReader] = OrderedDict()
        self._reader_lock = Lock()

    def look(self, *, at_all: bool) -> None:
        """Read what has changed.

        Parameters
        ----------
        at_all : bool
            Whether to search for new runs now; otherwise that is done every few seconds.
        """
        with self._lock:
            if at_all or time.monotonic() >= self._next_search:
                self._search()
            else:
                for run in self._runs.values():
                    if run.is_running:
                        run.update()

    def summaries(self) -> dict[str, Summary]:
        """Return the summaries of the last look; unchanged ones are the same objects."""
        with self._lock:
            return {name: run.summary for name, run in self._runs.items()}

    def summary(self, name: str) -> Summary:
        """Return the present summary of a run.

        Raises
        ------
        HTTPException
            With status 404, if there is none of the name.
        """
        folder = self.folder.run(name)
        with self._lock:
            run = self._runs.get(name) or FollowedRun(name, folder)
            run.update()
            return run.summary

    def metrics(self, name: str, after: int) -> dict[str, object]:
        """Return the metrics of a run after a place in its file, as columns.

        Raises
        ------
        HTTPException
            With status 404, if there is no run of the name.
        """
        with self._reader(name) as reader:
            rows, replaced = reader.since(after)
            return metric_columns(rows, reader.offset, replaced)

    def score_values(self, name: str, score: Mapping[str, str | int]) -> dict[int, float]:
        """Return the score of each tested iteration of a run.

        Raises
        ------
        HTTPException
            With status 404, if there is no run of the name.
        """
        output, net = score.get("output"), score.get("net")
        with self._reader(name) as reader:
            tests = [row for row in reader.rows if row.kind == "test" and row.net == net]
        values = ((row.iteration, row.outputs.get(str(output))) for row in tests)
        return {iteration: value for iteration, value in values if value is not None}

    def read_bytes(self, name: str) -> int:
        """Return the length of the metrics of a run: "next" of an answer with all of them.

        Raises
        ------
        HTTPException
            With status 404, if there is no run of the name.
        """
        with self._reader(name) as reader:
            return reader.offset

    @contextmanager
    def _reader(self, name: str) -> Iterator[MetricsReader]:
        """Yield the reader of a run, which has read what there is, for use in the block."""
        folder = self.folder.run(name)
        with self._reader_lock:
            reader = self._readers.pop(name, None) or MetricsReader(folder)
            self._readers[name] = reader
            if len(self._readers) > _MOST_READERS:
                self._readers.popitem(last=False)
            reader.update()
            yield reader

    def _search(self) -> None:
        begin = time.monotonic()
        names = self.folder.run_names()
        end = time.monotonic()
        self._next_search = end + max(_SEARCH_S, _SEARCH_PAUSE * (end - begin))
        self._runs = {
            name: self._runs.get(name) or FollowedRun(name, self.folder.root / name)
            for name in names
        }
        for run in self._runs.values():
            run.update()
