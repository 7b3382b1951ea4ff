"""How a layer compares scores with labels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scoring:
    """How a layer compares scores, its first bottom, with labels, its second.

    Parameters
    ----------
    axis : int
        The axis of the classes.
    ignored : int or None
        A label that does not count.
    rank : float
        Of several such layers the one with the lowest rank gives the accuracy of the net.
    """

    axis: int
    ignored: int | None
    rank: float
