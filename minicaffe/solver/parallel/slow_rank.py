"""Which rank makes the others wait."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

# A smaller share of the time is the noise of operating systems and networks.
LEAST_SHARE = 0.2


class RankWait(NamedTuple):
    """How long a rank has waited for others.

    Parameters
    ----------
    seconds : float
        Transfers included, which take about the same time on all ranks.
    host : str
        The machine of the rank.
    """

    seconds: float
    host: str


def slow_rank(waits: Sequence[RankWait], lapse_s: float) -> str | None:
    """Return a line about the rank for which the others waited for a large share of the time.

    That rank has waited less than the others, by the time for which they waited for it.

    Parameters
    ----------
    waits : sequence of RankWait
        One for each rank, within the same time.
    lapse_s : float
        That time, seconds.

    Returns
    -------
    str or None
        None if there is one rank, or all are about equally fast.
    """
    if len(waits) < 2:
        return None
    rank = min(range(len(waits)), key=lambda k: waits[k].seconds)
    others = statistics.median(wait.seconds for k, wait in enumerate(waits) if k != rank)
    share = (others - waits[rank].seconds) / lapse_s
    if share < LEAST_SHARE:
        return None
    return f"Waited for rank {rank} on {waits[rank].host} {min(share, 1):.0%} of the time"
