"""Log of the storages whose bookkeeping has changed, so that graphs check only these."""

from __future__ import annotations

# Entries that are kept: far more than an iteration of graphs makes.
LIMIT = 4096


class ChangeLog:
    """Numbers of storages, in the order of the changes.

    A change is whatever a graph compares before a launch or sets after it: a write, a conversion to
    another format, a mirror on the host.
    """

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._n_dropped = 0

    @property
    def position(self) -> int:
        """The number of changes until now."""
        return self._n_dropped + len(self._numbers)

    def add(self, number: int) -> None:
        """Log a change of storage `number`."""
        self._numbers.append(number)
        if len(self._numbers) > LIMIT:
            del self._numbers[: LIMIT // 2]
            self._n_dropped += LIMIT // 2

    def changed_since(self, position: int) -> set[int] | None:
        """Return the storages changed since an earlier `position`; None: too many to know."""
        if position < self._n_dropped:
            return None
        return set(self._numbers[position - self._n_dropped :])
