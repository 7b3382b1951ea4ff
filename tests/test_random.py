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


VALUES = {"bits": np.uint16, "shares": np.float32, "fine_shares": np.float64}


@pytest.mark.parametrize("n", [16, 35, 1])
@pytest.mark.parametrize("method", VALUES)
def test_values_of_parts_are_those_of_the_batch(method, n):
    whole = getattr(RandomStream(3, "drop6", 2), method)(4 * n)
    assert whole.dtype == VALUES[method]
    parts = [getattr(RandomStream(3, "drop6", 2, first_part=k), method)(n) for k in range(4)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    stream = RandomStream(3, "drop6", 2, n_parts=4)
    np.testing.assert_array_equal(
        np.concatenate([getattr(stream, method)(n) for _ in range(4)]), whole
    )
    assert stream.step == 3


def test_values_of_an_undivided_batch_are_those_of_earlier_versions():
    def stream():
        return RandomStream(1701, "conv1/weights")

    words = np.array(RAW, np.uint64).view(np.uint16)
    np.testing.assert_array_equal(stream().bits(11), words[:11])
    generator = stream().generator()
    np.testing.assert_array_equal(stream().shares(9), generator.random(9, np.float32))
    np.testing.assert_array_equal(stream().fine_shares(9), stream().generator().random(9))
    (row,) = stream().row_generators(1)
    assert row.bit_generator.random_raw(3).tolist() == RAW
    shared = stream().undivided().bits(11)
    np.testing.assert_array_equal(shared, words[:11])


def test_rows_parts_and_steps_have_generators_of_their_own():
    streams = [RandomStream(3, "x", step, first_part=part) for step in (0, 1) for part in (0, 1)]
    found = [stream.generator().random() for stream in streams]
    streams = [RandomStream(3, "x", step, first_part=part) for step in (0, 1) for part in (0, 1)]
    rows = [row.random() for stream in streams for row in stream.row_generators(3)]
    assert len(set(found)) == 4
    assert len(set(rows)) == 12
    assert len({stream.words().tobytes() for stream in streams}) == 4


def test_a_step_ends_after_the_draws_of_all_parts():
    stream = RandomStream(3, "x", step=5, first_part=2, n_parts=2, n_draws=3)
    steps = []
    for _ in range(7):
        words = stream.words()
        steps.append((int(words[2]), int(words[4])))
    assert steps == [(5, 2), (6, 2), (7, 2), (5, 3), (6, 3), (7, 3), (8, 2)]
    assert stream.step == 8
    stream.go_to(4, 1)
    assert (stream.seed, stream.words().tolist()[2:]) == (4, [1, 0, 2])
    stream.pass_over(2)
    assert stream.step == 7
    # What all parts share is one of the draws.
    first, second = RandomStream(3, "x", first_part=1), RandomStream(3, "x")
    assert (first.undivided().bits(9) == second.undivided().bits(9)).all()
    assert (first.step, second.step) == (1, 1)


@pytest.mark.parametrize("step", [-1, 1 << 63, float("inf"), "x", None])
def test_steps_that_no_stream_can_have(step):
    with pytest.raises((ValueError, OverflowError, TypeError)):
        checked_step(step)
    assert checked_step(7) == 7
