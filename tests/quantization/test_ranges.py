"""Ranges of activations, compared with loops over all bins and with sorted values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicaffe.quantization.ranges import (
    BINS,
    RANGE_RULES,
    Magnitudes,
    divergence,
    fraction_bits,
)


def magnitudes_of(values: np.ndarray) -> Magnitudes:
    found = Magnitudes(float(np.abs(values).max(initial=0)))
    for part in np.array_split(values.astype(np.float32), 3):
        found.add(part)
    return found


def divergence_by_loops(counts: list[int], edge: int, levels: int) -> float:
    """Kullback-Leibler divergence as in Migacz's slides, bin by bin."""
    reference = [float(n) for n in counts[:edge]]
    reference[-1] += sum(counts[edge:])
    rounded = [0.0] * edge
    for level in range(levels):
        bins = [k for k in range(edge) if k * levels // edge == level]
        for k in bins:
            rounded[k] = sum(counts[k] for k in bins) / len(bins)
    total = 0.0
    for p, q in zip(reference, rounded, strict=True):
        if p and not q:
            return math.inf
        if p:
            p, q = p / sum(reference), q / sum(rounded)
            total += p * math.log(p / q)
    return total


@pytest.mark.parametrize(("edge", "levels"), [(8, 8), (9, 4), (23, 8), (40, 7), (40, 2)])
def test_divergence(edge, levels):
    rng = np.random.default_rng(edge)
    counts = rng.integers(0, 30, 40) * (rng.random(40) < 0.7)
    counts[edge - 1] = 3
    expected = divergence_by_loops(counts.tolist(), edge, levels)
    assert divergence(counts, edge, levels) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    if levels == edge < 40:
        counts[edge - 1] = 0
        assert divergence(counts, edge, levels) == math.inf


@pytest.mark.parametrize("bits", [2, 4, 8, 11])
def test_the_threshold_of_kl_has_the_least_divergence(bits):
    rng = np.random.default_rng(5)
    found = magnitudes_of(rng.laplace(size=20_000))
    threshold = RANGE_RULES["kl"](found, bits)
    edge = round(threshold / found.largest * BINS)
    counts, levels = found.counts.tolist(), 2 ** (bits - 1)
    best = divergence_by_loops(counts, edge, levels)
    # About 256 thresholds are tried, from the largest downwards.
    fewest = max(levels, BINS // 16)
    others = range(BINS, fewest - 1, -23 * max(1, (BINS - fewest) // 256))
    assert all(divergence_by_loops(counts, k, levels) >= best for k in others)


def test_kl_clips_outliers():
    rng = np.random.default_rng(6)
    values = np.concatenate([rng.uniform(0, 1, 50_000), [9.0]])
    found = magnitudes_of(values)
    assert RANGE_RULES["max"](found, 8) == 9
    assert 0.9 < RANGE_RULES["kl"](found, 4) < 1.5
    assert RANGE_RULES["percentile"](found, 8) < 1.1


def test_kl_keeps_few_values_apart():
    levels = np.repeat(np.arange(1, 257) / 256, 20)
    assert RANGE_RULES["kl"](magnitudes_of(levels), 4) > 0.5


@pytest.mark.parametrize("share_of_zeros", [0, 0.6])
def test_percentile(share_of_zeros):
    rng = np.random.default_rng(7)
    values = rng.standard_normal(60_000)
    values[rng.random(60_000) < share_of_zeros] = 0
    found = magnitudes_of(values)
    threshold = RANGE_RULES["percentile"](found, 8)
    expected = np.sort(np.abs(values))[math.ceil(0.9999 * len(values)) - 1]
    assert expected <= threshold <= expected + found.largest / BINS * 1.001


@pytest.mark.parametrize("rule", RANGE_RULES)
def test_zeros_have_the_range_zero(rule):
    assert RANGE_RULES[rule](magnitudes_of(np.zeros(50)), 8) == 0


@pytest.mark.parametrize(
    ("threshold", "bits", "expected"),
    [
        (1.0, 8, 7),
        (0.99, 8, 7),
        (1.01, 8, 6),
        (100.0, 8, 0),
        (300.0, 8, -2),
        (0.3, 2, 2),
        (0, 4, 3),
    ],
)
def test_fraction_bits(threshold, bits, expected):
    assert fraction_bits(threshold, bits) == expected
