"""Search for the smallest net whose score is within a margin."""

from __future__ import annotations

import math

from minicaffe.quantization.findings import FoundNet, Study
from minicaffe.quantization.formats import Assignment, Bits, LayerFormats
from minicaffe.quantization.trials import Trials

# The level of each layer: the index of its bits among those of the study, 0 for the most.
Levels = dict[str, int]


def most_trials(n_layers: int, n_bits: int) -> int:
    """Return how many nets a search runs at most."""
    steps = n_layers * (n_bits - 1)
    return n_bits + math.ceil(math.log2(steps + 1)) + steps


class Search:
    """Search in three parts; a net is accepted only if its own score is within the margin.

    1. The losses of layers alone, added up, predict those of nets. They give a path from the most
       bits to the fewest: each step is that which loses least for each byte saved. Bisection finds
       the last net on the path that is within the margin.
    2. The nets whose layers have equally many bits are tried; the smallest net so far goes on.
    3. Layer by layer takes the next smaller number of bits, in the order of the path, until each
       step leads out of the margin.

    Activations have the most bits throughout, because theirs do not change the size.

    Parameters
    ----------
    study : Study
        With the scores of all layers and of one alone.
    formats : LayerFormats
    trials : Trials
    """

    def __init__(self, study: Study, formats: LayerFormats, trials: Trials) -> None:
        self._study, self._formats, self._trials = study, formats, trials
        self._products = formats.net.products
        self._bits = [row.bits for row in study.uniform]
        self._activations = self._bits[0] if formats.calibration else None

    def run(self) -> FoundNet:
        """Return the smallest net that was found, or that of the most bits."""
        levels = self._uniform_levels(0)
        is_within = self._is_within(levels)
        if is_within:
            starts = [self._last_within(self._path()), self._last_within(self._uniform_path())]
            levels = self._descend(min(starts, key=self._size))
        assignment = self._assignment(levels)
        return FoundNet(assignment, self._score(levels), self._size(levels), is_within)

    def _uniform_levels(self, level: int) -> Levels:
        return dict.fromkeys(self._products, level)

    def _uniform_path(self) -> list[Levels]:
        return [self._uniform_levels(level) for level in range(len(self._bits))]

    def _path(self) -> list[Levels]:
        """Return nets from the most bits to the fewest, by the predicted losses."""
        path = [self._uniform_levels(0)]
        while steps := list(self._steps(path[-1], range(1, len(self._bits)))):
            name, level = min(steps, key=lambda step: self._price(path[-1], *step))
            path.append({**path[-1], name: level})
        return path

    def _descend(self, levels: Levels) -> Levels:
        """Take steps to the next level until each leads out of the margin."""
        rejected: set[str] = set()
        while steps := [s for s in self._steps(levels, range(1, 2)) if s[0] not in rejected]:
            name, level = min(steps, key=lambda step: self._price(levels, *step))
            tried = {**levels, name: level}
            if self._is_within(tried):
                levels = tried
            else:
                rejected.add(name)
        return levels

    def _steps(self, levels: Levels, lengths: range) -> list[tuple[str, int]]:
        """Return layers with levels that they may take next."""
        return [
            (name, level + k)
            for name, level in levels.items()
            for k in lengths
            if level + k < len(self._bits)
        ]

    def _price(self, levels: Levels, name: str, level: int) -> tuple[float, int]:
        """Return what a step loses for each byte saved; of equal steps, the larger comes first."""
        product = self._products[name]
        now, then = self._bits[levels[name]], self._bits[level]
        saved = self._formats.saving(product, then) - self._formats.saving(product, now)
        now_loss, then_loss = (self._loss_alone(name, k) for k in (levels[name], level))
        loss = then_loss - now_loss if math.isfinite(then_loss) else math.inf
        return loss / max(saved, 1), -saved

    def _loss_alone(self, name: str, level: int) -> float:
        """Return what a layer loses alone; never less than with more bits, which is chance."""
        study = self._study
        values = (study.alone[name, bits] for bits in self._bits[: level + 1])
        losses = (study.score.shortfall(value, study.float_score) for value in values)
        return max(0.0, *losses)

    def _last_within(self, path: list[Levels]) -> Levels:
        """Return the last net of a path that is within the margin, by bisection; the first is."""
        first, behind = 0, len(path)
        while behind - first > 1:
            middle = (first + behind) // 2
            if self._is_within(path[middle]):
                first = middle
            else:
                behind = middle
        return path[first]

    def _is_within(self, levels: Levels) -> bool:
        study = self._study
        return study.score.is_within(self._score(levels), study.float_score, study.margin)

    def _score(self, levels: Levels) -> float:
        what = f"Search: {self._size(levels):,} bytes"
        return self._trials.run(self._formats, self._assignment(levels), what)

    def _size(self, levels: Levels) -> int:
        return self._formats.parameter_bytes(self._assignment(levels))

    def _assignment(self, levels: Levels) -> Assignment:
        return {n: Bits(self._bits[level], self._activations) for n, level in levels.items()}
