"""Non-maximum suppression against a loop over pairs."""

import numpy as np
import pytest

from minicaffe.suppression import Removal, keep_maxima


def table(n, seed, dtype=np.float64):
    """Return symmetric overlaps in steps of 1/8, so that many are equal to a threshold."""
    steps = np.random.default_rng(seed).integers(0, 9, (n, n)) * (
        np.random.default_rng(1).random((n, n)) < 0.05
    )
    return np.maximum(steps, steps.T).astype(dtype) / 8


def by_pairs(overlaps, removal, limit):
    kept, threshold = [], removal.threshold
    for k in range(len(overlaps)):
        others = [overlaps[other, k] for other in kept]
        if any(o > threshold or (removal.at_threshold and o == threshold) for o in others):
            continue
        if len(kept) == limit:
            break
        kept.append(k)
        if removal.eta < 1 and threshold > 0.5:
            threshold *= removal.eta
    return kept


@pytest.mark.parametrize("n", [0, 1, 7, 255, 256, 257, 700])
@pytest.mark.parametrize("limit", [None, 0, 1, 20, 60])
@pytest.mark.parametrize(
    "removal", [Removal(0.5), Removal(0.5, at_threshold=True), Removal(0.875, eta=0.95)]
)
def test_the_items_kept_are_those_of_a_loop(n, limit, removal):
    overlaps = table(n, seed=n)
    kept = keep_maxima(n, lambda a, b: overlaps[np.ix_(a, b)], removal, limit)
    assert kept.tolist() == by_pairs(overlaps, removal, limit)
    if n == 700 and limit is None:
        assert 20 < len(kept) < 600


def test_nan_removes_nothing():
    overlaps = np.array([[1, np.nan, 0.75], [np.nan, 1, 0], [0.75, 0, 1]])
    kept = keep_maxima(3, lambda a, b: overlaps[np.ix_(a, b)], Removal(0.5))
    assert kept.tolist() == [0, 1]


def test_the_threshold_has_the_type_of_the_overlaps():
    # 0.7 in float32 is less than in float64.
    overlaps = np.full((300, 300), 0.7, np.float32)
    both = [Removal(0.7, at_threshold=at_threshold) for at_threshold in (False, True)]
    kept = [keep_maxima(300, lambda a, b: overlaps[np.ix_(a, b)], removal) for removal in both]
    assert [len(indices) for indices in kept] == [300, 1]
