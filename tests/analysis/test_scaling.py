"""Predictions of training on many nodes, compared with cases computed by hand."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from minicaffe.analysis.scaling import (
    Bucket,
    IterationProfile,
    Link,
    expected_maximum,
    predict,
)

# 1 ms for an empty message, 1 GB/s.
LINK = Link(1e-3, 1e9)
# Backward takes 4 s; gradients are complete after 1 s and at the end.
PROFILE = IterationProfile(2.0, 4.0, 0.5, 0.0, (Bucket(1.0, 2e9), Bucket(4.0, 1e9)), 32)
NODES = (1, 2, 3, 4, 7, 8, 64, 1000, 1024)


def test_a_reduction_of_four_nodes():
    # 2 log2(4) messages of 1 ms; 3/4 of 2 GB in each of two directions.
    assert LINK.reduction_s(4, 2e9) == pytest.approx(0.004 + 2 * 0.75 * 2)


def test_a_number_of_nodes_between_powers_of_two_needs_the_messages_of_the_next():
    assert LINK.reduction_s(5, 0) == LINK.reduction_s(8, 0) == pytest.approx(0.006)


def test_one_node_does_not_communicate():
    found = predict(replace(PROFILE, deviation_s=1.0), LINK, 1)
    assert (found.communication_s, found.exposed_s, found.stragglers_s) == (0, 0, 0)
    assert (found.iteration_s, found.efficiency, found.hidden_share) == (6.5, 1, 1)
    assert found.images_per_s == pytest.approx(32 / 6.5)


def test_the_backward_pass_hides_what_ends_before_it():
    # The first bucket takes 2.002 s from 1 s on, the second 1.002 s from 4 s on.
    found = predict(PROFILE, LINK, 2)
    assert found.communication_s == pytest.approx(3.004)
    assert found.exposed_s == pytest.approx(1.002)
    assert found.hidden_share == pytest.approx(2.002 / 3.004)
    assert found.iteration_s == pytest.approx(7.502)
    assert found.images_per_s == pytest.approx(2 * 32 / 7.502)
    assert found.efficiency == pytest.approx(6.5 / 7.502)


@pytest.mark.parametrize(
    ("rate", "end_s"),
    [
        # The first sum lasts from 1 s to 3.002 s; of 3 s that are left, half of that is computed.
        # The rest takes 1.999 s at full speed, and then comes the second sum of 1.002 s.
        (1e9, 3.002 + 1.999 + 1.002),
        # The first sum lasts from 1 s to 11.002 s, and the pass ends meanwhile.
        (0.2e9, 11.002 + 5.002),
    ],
)
def test_sums_slow_the_backward_pass_down_if_it_uses_all_cores(rate, end_s):
    found = predict(replace(PROFILE, shared_speed=0.5), Link(1e-3, rate), 2)
    assert found.exposed_s == pytest.approx(end_s - 4)


def test_an_early_sum_delays_the_pass_by_what_it_takes_from_it():
    early = replace(PROFILE, buckets=(Bucket(1.0, 1e9),), shared_speed=0.75)
    found = predict(early, LINK, 2)
    assert found.exposed_s == pytest.approx(1.002 * 0.25)
    assert found.hidden_share == pytest.approx(0.75)


def test_a_bucket_waits_for_the_one_before_it():
    # On half the rate the first lasts from 1 s to 5.002 s, the second from then to 7.004 s.
    found = predict(PROFILE, Link(1e-3, 0.5e9), 2)
    assert found.exposed_s == pytest.approx(7.004 - 4)


def test_small_gradients_complete_early_are_hidden_wholly():
    early = replace(PROFILE, buckets=(Bucket(1.0, 1e9),))
    found = predict(early, LINK, 2)
    assert (found.exposed_s, found.hidden_share, found.efficiency) == (0, 1, 1)


def test_half_the_bytes_take_half_the_time():
    found = predict(PROFILE.with_gradients_of(0.5), Link(0, 1e9), 2)
    assert found.communication_s == pytest.approx(
        predict(PROFILE, Link(0, 1e9), 2).communication_s / 2
    )


def test_twice_as_fast_nodes_halve_all_but_the_communication():
    profile = replace(PROFILE, deviation_s=0.25)
    fast = predict(profile.on_faster_nodes(2), Link(0, math.inf), 8)
    slow = predict(profile, Link(0, math.inf), 8)
    assert fast.iteration_s == pytest.approx(slow.iteration_s / 2)
    assert fast.efficiency == pytest.approx(slow.efficiency)
    assert predict(profile.on_faster_nodes(2), LINK, 8).efficiency < slow.efficiency


@pytest.mark.parametrize(
    ("n", "value"),
    # 0, 1 / sqrt(pi) and 3 / (2 sqrt(pi)) are exact; 1.53875 for 10 and 2.50759 for 100 are those
    # of Teichroew, "Tables of expected values of order statistics", 1956, and of Harter, 1961.
    [
        (1, 0),
        (2, 1 / math.sqrt(math.pi)),
        (3, 1.5 / math.sqrt(math.pi)),
        (10, 1.53875),
        (100, 2.50759),
    ],
)
def test_expected_maximum_of_normal_numbers(n, value):
    assert expected_maximum(n) == pytest.approx(value, abs=1e-5)


def test_expected_maximum_of_many_numbers_is_that_of_drawn_ones():
    drawn = np.random.default_rng(2).standard_normal((4000, 1024)).max(1)
    error = drawn.std() / math.sqrt(len(drawn))
    assert abs(expected_maximum(1024) - drawn.mean()) < 4 * error


def test_stragglers_add_the_expected_delay_of_the_slowest():
    late = predict(replace(PROFILE, deviation_s=0.25), LINK, 10)
    assert late.stragglers_s == pytest.approx(0.25 * 1.53875, abs=1e-5)
    assert late.iteration_s == pytest.approx(
        predict(PROFILE, LINK, 10).iteration_s + late.stragglers_s
    )


def test_more_nodes_are_never_more_efficient():
    found = [predict(replace(PROFILE, deviation_s=0.1), LINK, n) for n in NODES]
    for fewer, more in itertools.pairwise(found):
        assert more.efficiency < fewer.efficiency
        assert more.communication_s > fewer.communication_s
        assert more.stragglers_s > fewer.stragglers_s
        assert more.images_per_s > fewer.images_per_s


@pytest.mark.parametrize("better", [Link(1e-4, 1e9), Link(1e-3, 2e9)])
def test_a_better_link_is_never_slower(better):
    for n in NODES[1:]:
        assert predict(PROFILE, better, n).iteration_s < predict(PROFILE, LINK, n).iteration_s
