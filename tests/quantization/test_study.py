"""The study and its search, on scores that are known functions of the bits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from minicaffe.quantization.float_net import FloatNet, Product
from minicaffe.quantization.formats import Bits, FormatRules, LayerFormats
from minicaffe.quantization.score import NetScore
from minicaffe.quantization.study import study_net

BITS = [8, 6, 4, 3, 2]
SIZES = {"small": 40, "large": 900, "medium": 300, "tiny": 7}
ACCURACY = NetScore("accuracy", 0, lower_is_better=False)
LOSS = NetScore("loss", 0, lower_is_better=True)


class KnownScores:
    """Trials whose score falls, or loss rises, by a cost for each layer and its bits."""

    def __init__(self, seed: int, best: float, sign: int) -> None:
        rng = np.random.default_rng(seed)
        self.costs = {
            name: dict(zip(BITS, np.sort(rng.exponential(0.01, len(BITS))), strict=True))
            for name in SIZES
        }
        self.best, self.sign, self.most = best, sign, 0
        self.seen: set[object] = set()

    def run(self, formats: LayerFormats, assignment: dict[str, Bits], what: str) -> float:
        self.seen.add(tuple(sorted(assignment.items())))
        costs = (self.costs[name][bits.weights] for name, bits in assignment.items())
        return self.best - self.sign * sum(costs)


def formats_of_known_sizes() -> LayerFormats:
    rng = np.random.default_rng(1)
    products = {
        name: Product((name,), rng.standard_normal(n).astype(np.float32), 0, None)
        for name, n in SIZES.items()
    }
    net = FloatNet(None, None, {}, products, sum(SIZES.values()) + 50)
    return LayerFormats(net, FormatRules(False, "max", ""), None)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("score", "best", "sign"), [(ACCURACY, 0.9, 1), (LOSS, 0.7, -1)])
def test_search(score, best, sign, seed):
    formats, trials = formats_of_known_sizes(), KnownScores(seed, best, sign)
    margin = 4.0
    study = study_net(formats, trials, score, BITS, margin)
    assert len(trials.seen) <= trials.most
    levels = {name: BITS.index(bits.weights) for name, bits in study.found.assignment.items()}

    def is_within(chosen: dict[str, int]) -> bool:
        value = trials.run(formats, {n: Bits(BITS[k]) for n, k in chosen.items()}, "")
        loss = sign * (best - value) / (1 if score is ACCURACY else best)
        return loss <= margin / 100 + 1e-9

    uniform = [k for k in range(len(BITS)) if is_within(dict.fromkeys(SIZES, k))]
    assert study.found.is_within == is_within(levels) == (0 in uniform)
    if 0 not in uniform:
        assert set(levels.values()) == {0}
        return
    sizes = [formats.parameter_bytes(dict.fromkeys(SIZES, Bits(BITS[k]))) for k in uniform]
    assert study.found.size_bytes <= min(sizes)
    for name, level in levels.items():  # No further step would do.
        assert level == len(BITS) - 1 or not is_within({**levels, name: level + 1})


def test_the_search_is_close_to_the_smallest_net():
    excess = []
    for seed in range(12):
        formats, trials = formats_of_known_sizes(), KnownScores(seed, 0.9, 1)
        study = study_net(formats, trials, ACCURACY, BITS, 4.0)
        smallest = min(
            formats.parameter_bytes(assignment)
            for bits in itertools.product(BITS, repeat=len(SIZES))
            for assignment in [{n: Bits(b) for n, b in zip(SIZES, bits, strict=True)}]
            if trials.run(formats, assignment, "") >= 0.86 or set(bits) == {BITS[0]}
        )
        excess.append(study.found.size_bytes / smallest)
    assert min(excess) == 1
    assert np.mean(excess) < 1.01


@pytest.mark.parametrize(
    ("score", "value", "reference", "expected"),
    [
        (ACCURACY, 0.87, 0.89, 2.0),
        (ACCURACY, 0.9, 0.89, -1.0),
        (LOSS, 0.44, 0.4, 10.0),
        (LOSS, 0.0, 0.0, 0.0),
        (LOSS, 0.1, 0.0, math.inf),
        (ACCURACY, math.nan, 0.5, math.inf),
        (LOSS, math.nan, 0.5, math.inf),
    ],
)
def test_shortfall(score, value, reference, expected):
    assert score.shortfall(value, reference) == pytest.approx(expected)
