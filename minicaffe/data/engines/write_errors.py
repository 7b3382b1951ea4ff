"""Errors of writing a database."""

from __future__ import annotations

from minicaffe.errors import DataError


def write_error(name: str, kind: str, reason: object, is_durable: bool) -> DataError:
    """Return the error about a database that cannot be written.

    Parameters
    ----------
    name : str
        The database.
    kind : str
        LMDB or LevelDB.
    reason : object
    is_durable : bool
        Whether what was written may be continued; otherwise it is removed.
    """
    fate = "" if is_durable else " What was written of it has been removed."
    return DataError(f"{name}: the {kind} cannot be written: {reason}. Is the disk full?{fate}")
