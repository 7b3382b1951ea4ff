"""Flags of commands that predict a training on several nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minicaffe.analysis.scaling import Link
from minicaffe.cli.flags import Flags, flag
from minicaffe.errors import UsageError, nearest

# Microseconds, and GB/s in each direction: 93 % of the nominal rate, which headers and gaps leave
# (1448 of 1538 bytes of an Ethernet frame with TCP). Messages through TCP take some 30
# microseconds, those of RDMA (InfiniBand, Omni-Path, RoCE) 2 with MPI. NVLink: 80 % of the 450
# GB/s of its fourth generation.
_LINKS = {
    "1gbe": (50, 0.116),
    "10gbe": (30, 1.16),
    "25gbe": (30, 2.9),
    "40gbe": (30, 4.65),
    "25gb": (2, 2.9),
    "100gb": (2, 11.6),
    "200gb": (2, 23.2),
    "400gb": (2, 46.5),
    "nvlink": (5, 360),
}
_GRADIENT_SHARES = {"float32": 1.0, "bfloat16": 0.5, "float16": 0.5}
_LINK_FORM = "ALPHA,BETA (microseconds for a message, GB/s in each direction)"


@dataclass(frozen=True)
class Nodes:
    """What the flags ask for.

    Parameters
    ----------
    counts : list of int
        Numbers of nodes.
    link : Link
    link_text : str
        The link with its numbers.
    gradient_share : float
        Bytes of the gradients that are sent, relative to float32.
    speed : float
        How many times as fast as this machine a node computes.
    spread : float or None
        Standard deviation of iterations relative to their mean; None for the measured one.
    """

    counts: list[int]
    link: Link
    link_text: str
    gradient_share: float
    speed: float
    spread: float | None


class NodesFlags(Flags):
    """Flags that describe nodes and their network."""

    nodes: str = flag(
        metavar="N,N,...",
        help="predict training on these numbers of nodes, each with the net's batch: "
        "1,2,4,...,1024; needs --link",
    )
    link: str = flag(
        metavar="LINK",
        help=f"network of --nodes: {', '.join(_LINKS)}; or {_LINK_FORM}. Names in gbe are "
        "Ethernet through TCP, those in gb RDMA",
    )
    gradient_type: str = flag(
        choices=tuple(_GRADIENT_SHARES),
        default="float32",
        help="format in which nodes send gradients",
    )
    node_speed: float = flag(
        metavar="FACTOR",
        default=1.0,
        help="how many times as fast as this machine a node computes",
    )
    spread: float | None = flag(
        metavar="PERCENT",
        help="standard deviation of the iterations of a node, in percent of their mean (default: "
        "as measured)",
    )

    def planned_nodes(self) -> Nodes | None:
        """Return what the flags ask for; None without --nodes.

        Raises
        ------
        UsageError
            If a flag is wrong, or has no effect without --nodes.
        """
        if not self.nodes:
            words = self.given_words(NodesFlags)
            if words:
                raise UsageError(f"{words[0]} has no effect without --nodes, such as --nodes=1,2,4")
            return None
        if not self.link:
            raise UsageError(f"--nodes needs --link: {', '.join(_LINKS)}, or {_LINK_FORM}")
        if not self.node_speed > 0 or math.isinf(self.node_speed):
            raise UsageError(f"--node_speed={self.node_speed:g}: it must be more than 0")
        if self.spread is not None and not 0 <= self.spread < math.inf:
            raise UsageError(f"--spread={self.spread:g}: it must be 0 or more, in percent")
        alpha, beta = _alpha_and_beta(self.link)
        numbers = f"alpha {alpha:g} us, beta {beta:g} GB/s"
        return Nodes(
            node_counts(self.nodes),
            Link(alpha * 1e-6, beta * 1e9),
            f"{self.link} ({numbers})" if self.link in _LINKS else numbers,
            _GRADIENT_SHARES[self.gradient_type],
            self.node_speed,
            None if self.spread is None else self.spread / 100,
        )


def _alpha_and_beta(text: str) -> tuple[float, float]:
    name = text.lower()
    if name in _LINKS:
        return _LINKS[name]
    try:
        alpha, beta = map(float, text.split(","))
    except ValueError:
        advice = f"Or give {_LINK_FORM}, such as 30,1.16."
        raise UsageError(f"--link={text}: unknown. {nearest(name, _LINKS, advice)}") from None
    if not (0 <= alpha < math.inf and 0 < beta < math.inf):
        raise UsageError(
            f"--link={text}: ALPHA must be 0 or more (microseconds), BETA more than 0 (GB/s)"
        )
    return alpha, beta


def node_counts(text: str) -> list[int]:
    """Return the numbers in a list such as "1,2,4"; "..." continues it up to the next number.

    Raises
    ------
    UsageError
        If a word is no number of nodes, or the numbers around "..." fit no rule: a factor, or else
        a difference, between the two before it.
    """
    counts: list[int] = []
    words = [word.strip() for word in text.split(",")]
    for place, word in enumerate(words):
        if word == "...":
            last = words[place + 1] if place + 1 < len(words) else ""
            counts += _continued(counts, _count(last, text), text)
        else:
            counts.append(_count(word, text))
    return counts


def _count(word: str, text: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise UsageError(
            f"--nodes={text}: {word!r} is no number of nodes. Give whole numbers from 1 on, "
            "such as 1,2,4 or 1,2,4,...,1024"
        )
    return int(word)


def _continued(counts: list[int], last: int, text: str) -> list[int]:
    """Return the numbers after `counts` and before `last`."""
    if len(counts) > 1 and counts[0] < counts[1] and counts[-1] < last:
        factor, difference = counts[1] // counts[0], counts[1] - counts[0]
        powers, sums = counts[:1], list(range(counts[0], last + 1, difference))
        while factor > 1 and powers[-1] < last:
            powers.append(powers[-1] * factor)
        for found in (powers, sums):
            if found[: len(counts)] == counts and found[-1] == last:
                return found[len(counts) : -1]
    raise UsageError(
        f"--nodes={text}: no factor and no difference leads from the numbers before ... to {last}. "
        "Give them like 1,2,4,...,1024 or 2,4,6,...,16"
    )
