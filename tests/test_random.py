import numpy as np
import pytest

from minicaffe.random import RandomStream, checked_step

RAW = [5993846081797415477, 1603824525513547846, 11767524642568156572]
DRAWN = [876, 474, 780, 213, 407]


def test_the_numbers_are_those_of_earlier_versions():
    # Written by this class on the day it was made; a change here breaks every saved run.
    generator = RandomStream(seed=1701, name="conv1/weights").generator()
    assert generator.bit_generator.random_raw(3).tolist() == RAW
    assert RandomStream(1701, "drop6", step=5).generator().integers(0, 1000, 5).tolist() == DRAWN


def test_a_step_depends_on_seed_name_and_step_only():
    stream = RandomStream(3, "drop6")
    first, second = stream.generator().random(4), stream.generator().random(4)
    assert stream.step == 2
    np.testing.assert_array_equal(RandomStream(3, "drop6", step=1).generator().random(4), second)
    others = [RandomStream(4, "drop6"), RandomStream(3, "drop7"), RandomStream(3, "drop6", step=1)]
    for other in others:
        assert not np.array_equal(other.generator().random(4), first)


def test_long_draws_of_neighbouring_steps_do_not_overlap():
    stream = RandomStream(0, "x")
    first, second = (stream.generator().bit_generator.random_raw(4096) for _ in range(2))
    assert not set(first.tolist()) & set(second.tolist())


@pytest.mark.parametrize("step", [-1, 1 << 63, float("inf"), "x", None])
def test_steps_that_no_stream_can_have(step):
    with pytest.raises((ValueError, OverflowError, TypeError)):
        checked_step(step)
    assert checked_step(7) == 7
