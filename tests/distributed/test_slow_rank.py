"""The rank for which the others wait."""

import pytest

from minicaffe.solver.parallel.slow_rank import RankWait, slow_rank


@pytest.mark.parametrize(
    ("waits_s", "expected"),
    [
        ([0.0], None),
        ([5.0, 1.0], "Waited for rank 1 on node1 40% of the time"),
        ([5.0, 3.5], None),  # less than a fifth
        ([6.0, 6.5, 2.0, 7.0], "Waited for rank 2 on node2 45% of the time"),
        ([2.0, 6.5, 2.5, 7.0, 8.0], "Waited for rank 0 on node0 48% of the time"),
        ([6.0, 5.5, 5.0, 6.0], None),
        ([0.0, 99.0], "Waited for rank 0 on node0 100% of the time"),  # begun before
    ],
)
def test_the_rank_that_waits_least_is_named(waits_s, expected):
    waits = [RankWait(seconds, f"node{k}") for k, seconds in enumerate(waits_s)]
    assert slow_rank(waits, lapse_s=10.0) == expected
