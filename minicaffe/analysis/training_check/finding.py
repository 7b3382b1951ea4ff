"""Findings of the checks before a training."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """What a check has found.

    Parameters
    ----------
    text : str
        Where, what with values, and the fix, on one line.
    is_error : bool
        Whether the training would end or learn nothing; otherwise it is a warning.
    """

    text: str
    is_error: bool = False
