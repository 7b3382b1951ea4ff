"""Layered layout of a directed graph: positions of nodes, paths of arrows.

After Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system
structures", 1981. Nodes stand in rows, each below all that it depends on. An arrow over several
rows has a joint in each. Rows are sorted so that few arrows cross, then spread so that arrows are
as straight as the distances between nodes allow (least squares, by pooling adjacent violators).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

Point = tuple[float, float]
Size = tuple[float, float]

_ROW_GAP, _BOX_GAP, _JOINT_GAP, _MARGIN = 34.0, 22.0, 14.0, 16.0
_ORDER_SWEEPS, _PLACE_SWEEPS = 12, 16
_STRAIGHT = 8.0  # weight of an arrow between joints, which should be straight, against 1 for others
DIRECTIONS = ("TB", "BT", "LR", "RL")


@dataclass
class GraphLayout:
    """Positions of a graph's nodes and arrows, in pixels.

    Attributes
    ----------
    centres : list of (float, float)
        Of the nodes.
    paths : list of list of (float, float)
        The points of each arrow; between two points it is a curve whose ends point in the direction
        of the layout.
    width, height : float
    sideways : bool
        Whether rows are columns: arrows point to the left or to the right.
    """

    centres: list[Point]
    paths: list[list[Point]]
    width: float
    height: float
    sideways: bool = False


@dataclass
class _Item:
    """A node, or the joint of an arrow, in a row."""

    row: int
    width: float
    height: float
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    x: float = 0.0
    is_joint: bool = False


def lay_out_graph(
    sizes: Sequence[Size], arrows: Sequence[tuple[int, int]], direction: str
) -> GraphLayout:
    """Compute the layout of a graph.

    Parameters
    ----------
    sizes : sequence of (float, float)
        Width and height of each node.
    arrows : sequence of (int, int)
        Indices of start and end; a node comes after those that it depends on.
    direction : str
        Direction of the arrows: TB, BT, LR or RL.
    """
    sideways = direction in ("LR", "RL")
    turned = [(h, w) if sideways else (w, h) for w, h in sizes]
    flat = _Rows(turned, arrows).layout()
    if direction in ("BT", "RL"):
        flat = _moved(flat, lambda p: (p[0], flat.height - p[1]))
    if sideways:
        flat = _moved(flat, lambda p: (p[1], p[0]))
        flat.width, flat.height, flat.sideways = flat.height, flat.width, True
    return flat


def _moved(flat: GraphLayout, move: Callable[[Point], Point]) -> GraphLayout:
    paths = [[move(point) for point in path] for path in flat.paths]
    return GraphLayout([move(point) for point in flat.centres], paths, flat.width, flat.height)


class _Rows:
    """Layout of a graph whose arrows point down."""

    def __init__(self, sizes: Sequence[Size], arrows: Sequence[tuple[int, int]]) -> None:
        self.n = len(sizes)
        rows = _row_numbers(self.n, arrows)
        self.items = [_Item(row, *size) for row, size in zip(rows, sizes, strict=True)]
        self.joints: dict[tuple[int, int], int] = {}
        self.chains = [self._chain(a, b) for a, b in arrows]
        self.rows: list[list[int]] = [[] for _ in range(max(rows, default=-1) + 1)]
        for i, item in enumerate(self.items):
            self.rows[item.row].append(i)

    def layout(self) -> GraphLayout:
        self._order()
        self._place()
        tops, heights = self._row_tops()
        left = min((i.x - i.width / 2 for i in self.items), default=0.0) - _MARGIN
        right = max((i.x + i.width / 2 for i in self.items), default=0.0) + _MARGIN
        for item in self.items:
            item.x -= left
        middles = [top + height / 2 for top, height in zip(tops, heights, strict=True)]
        centres = [(item.x, middles[item.row]) for item in self.items[: self.n]]
        paths = [self._path(chain, tops, heights) for chain in self.chains]
        bottom = tops[-1] + heights[-1] if tops else 0.0
        return GraphLayout(centres, paths, right - left, bottom + _MARGIN)

    def _chain(self, start: int, end: int) -> list[int]:
        """Return the items that an arrow passes; arrows from one node share their joints."""
        chain = [start]
        for row in range(self.items[start].row + 1, self.items[end].row):
            if (start, row) not in self.joints:
                self.joints[start, row] = len(self.items)
                self.items.append(_Item(row, 0.0, 0.0, is_joint=True))
            chain.append(self.joints[start, row])
        chain.append(end)
        for a, b in pairwise(chain):
            if b not in self.items[a].below:
                self.items[a].below.append(b)
                self.items[b].above.append(a)
        return chain

    def _order(self) -> None:
        """Sort rows by their neighbours, in sweeps; use the order of fewest crossings."""
        best, fewest = [list(row) for row in self.rows], self._crossings()
        for sweep in range(_ORDER_SWEEPS):
            down = sweep % 2 == 0
            for row in self.rows if down else reversed(self.rows):
                self._sort(row, down)
            if (crossings := self._crossings()) < fewest:
                best, fewest = [list(row) for row in self.rows], crossings
        self.rows = best

    def _sort(self, row: list[int], down: bool) -> None:
        position = {i: k for other in self.rows for k, i in enumerate(other)}

        def wanted(i: int) -> float:
            near = self.items[i].above if down else self.items[i].below
            return fmean(position[k] for k in near) if near else float(position[i])

        row.sort(key=wanted)

    def _crossings(self) -> int:
        position = {i: k for row in self.rows for k, i in enumerate(row)}
        total = 0
        for row in self.rows:
            ends = [end for i in row for end in sorted(position[k] for k in self.items[i].below)]
            total += sum(a > b for n, a in enumerate(ends) for b in ends[n + 1 :])
        return total

    def _place(self) -> None:
        for row in self.rows:
            self._spread(row, [0.0] * len(row), [1.0] * len(row))
        for sweep in range(_PLACE_SWEEPS):
            for row in self.rows if sweep % 2 == 0 else reversed(self.rows):
                goals = [self._goal(i, sweep) for i in row]
                self._spread(row, [x for x, _ in goals], [weight for _, weight in goals])

    def _goal(self, i: int, sweep: int) -> tuple[float, float]:
        """Return the x that would straighten an item's arrows, and the weight of that goal."""
        item = self.items[i]
        last = sweep >= _PLACE_SWEEPS - 4
        near = item.above + item.below if last else (item.above, item.below)[sweep % 2]
        if not near:
            return item.x, 0.01
        pulls = [
            (self.items[k].x, _STRAIGHT if item.is_joint and self.items[k].is_joint else 1.0)
            for k in near
        ]
        weight = sum(w for _, w in pulls)
        return sum(x * w for x, w in pulls) / weight, weight

    def _spread(self, row: list[int], goals: list[float], weights: list[float]) -> None:
        """Place a row as near to its goals as its order and minimum distances allow."""
        items = [self.items[i] for i in row]
        offsets = [0.0]
        for a, b in pairwise(items):
            gap = _JOINT_GAP if a.is_joint or b.is_joint else _BOX_GAP
            offsets.append(offsets[-1] + (a.width + b.width) / 2 + gap)
        targets = [goal - offset for goal, offset in zip(goals, offsets, strict=True)]
        for item, x, offset in zip(
            items, isotonic_regression(targets, weights), offsets, strict=True
        ):
            item.x = x + offset

    def _row_tops(self) -> tuple[list[float], list[float]]:
        heights = [max(self.items[i].height for i in row) for row in self.rows]
        tops, y = [], _MARGIN
        for height in heights:
            tops.append(y)
            y += height + _ROW_GAP
        return tops, heights

    def _path(self, chain: list[int], tops: list[float], heights: list[float]) -> list[Point]:
        """Return the points of an arrow, which curves only between rows, where no node is."""
        first, *joints, last = (self.items[i] for i in chain)
        middle = tops[first.row] + heights[first.row] / 2
        points = [(first.x, middle + first.height / 2), (first.x, middle + heights[first.row] / 2)]
        for joint in joints:
            top = tops[joint.row]
            points += [(joint.x, top), (joint.x, top + heights[joint.row])]
        middle = tops[last.row] + heights[last.row] / 2
        points += [(last.x, tops[last.row]), (last.x, middle - last.height / 2)]
        return [
            point for point, before in zip(points, [None, *points], strict=False) if point != before
        ]


def _row_numbers(n: int, arrows: Sequence[tuple[int, int]]) -> list[int]:
    """Return the row of each node: below its sources; nodes without sources above their readers."""
    rows = [0] * n
    for a, b in sorted(arrows, key=lambda arrow: arrow[1]):
        rows[b] = max(rows[b], rows[a] + 1)
    targets = {b for _, b in arrows}
    for node in range(n):
        readers = [rows[b] for a, b in arrows if a == node]
        if node not in targets and readers:
            rows[node] = min(readers) - 1
    return rows


def isotonic_regression(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the nearest ascending sequence in weighted least squares (isotonic regression)."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, number of values
    for value, weight in zip(values, weights, strict=True):
        mean, total, count = value, weight, 1
        while blocks and blocks[-1][0] > mean:
            other, other_weight, other_count = blocks.pop()
            mean = (mean * total + other * other_weight) / (total + other_weight)
            total, count = total + other_weight, count + other_count
        blocks.append((mean, total, count))
    return [mean for mean, _, count in blocks for _ in range(count)]
