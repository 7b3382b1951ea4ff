"""Records that a list names, read round after round, in its order or shuffled anew in each."""

from __future__ import annotations

from abc import abstractmethod

from minicaffe.data.records.base import (
    RESTART,
    Record,
    RecordPosition,
    RecordSource,
    check_position,
    reading_order,
)
from minicaffe.errors import DataError
from minicaffe.log import log_repetition, logger
from minicaffe.random import RandomStream


class ListedRecords(RecordSource):
    """Reads the records of a list, in its order or shuffled anew in each round.

    Parameters
    ----------
    source : str
        The list, for messages.
    n : int
        The number of its images.
    shuffle : RandomStream or None
        Seed and name of the random order.
    """

    size_advice = "new_height and new_width, crop_size, or batch_size: 1"

    def __init__(self, source: str, n: int, shuffle: RandomStream | None) -> None:
        self._source, self._n, self._shuffle = source, n, shuffle
        self._ordered: tuple[int, int | None] | None = None  # round and seed of the order
        logger.info("A total of %d images.", n)
        self._seek(0, 0)

    @abstractmethod
    def record(self, index: int) -> Record:
        """Return the record of an image of the list, counted from 0."""

    def peek(self) -> Record:
        """Return the record that comes next; at the end of a round, start the next round."""
        if self._next == self._n:
            log_repetition(RESTART)
            self._seek(self._round + 1, 0)
        return self.record(int(self._order[self._next]))

    def take(self, n: int) -> list[Record]:
        """Return the next n records."""
        records = []
        for _ in range(n):
            records.append(self.peek())
            self._next += 1
        return records

    def count_records(self, limit: int) -> int:
        """Return the number of images."""
        return self._n

    def skip(self, n: int) -> None:
        """Advance by n records; after the last one stay behind it, as `take` does."""
        rounds = max(self._next + n - 1, 0) // self._n
        self._seek(self._round + rounds, self._next + n - rounds * self._n)

    def skip_at_random(self, most: int, stream: RandomStream) -> None:
        """Skip 0 to ``most - 1`` records; `most` is at most the number of images."""
        if most > self._n:
            raise DataError(
                f"{self._source}: rand_skip is {most}, but the list has {self._n} "
                "images; it can be at most as many."
            )
        super().skip_at_random(most, stream)

    def position(self) -> RecordPosition:
        """Return the round, and the position in its order."""
        return {"round": self._round, "next": self._next}

    def restore(self, position: RecordPosition) -> None:
        """Continue from a position; the list must be the same.

        Raises
        ------
        DataError
            If the list has become shorter.
        """
        round_, next_ = int(position["round"]), int(position["next"])
        check_position(self._source, "images", next_, self._n)
        self._seek(round_, next_)

    def _seek(self, round_: int, next_: int) -> None:
        self._next = next_
        # The seed of a stream may have changed.
        seed = None if self._shuffle is None else self._shuffle.seed
        if (round_, seed) != self._ordered:
            self._round, self._ordered = round_, (round_, seed)
            self._order = reading_order(self._n, self._shuffle, round_)
