"""Buckets, and the ways to sum them."""

import numpy as np
import pytest
from parallel_training import assert_close, train_alone, train_by_ranks
from thread_communicator import assert_same_on_all_ranks, run_ranks

from minicaffe.distributed.buckets import BUCKET_BYTES, LARGE_BYTES, group_into_buckets
from minicaffe.distributed.gradient_sums import AllreduceSum, PairwiseSum
from minicaffe.distributed.rounded_sum import FORMATS, RoundedSum


def test_large_gradients_are_buckets_and_small_ones_share_them():
    large, small = LARGE_BYTES, 4
    assert group_into_buckets([small, large, small, large]) == [[1], [0, 2], [3]]
    assert group_into_buckets([]) == []


def test_a_full_bucket_is_followed_by_the_next():
    size = LARGE_BYTES - 4
    n = -(-BUCKET_BYTES // size)
    assert group_into_buckets([size] * (n + 1)) == [list(range(n)), [n]]


SHAPES = [(3, 2), (5,), (), (0, 4)]


def bucket_of(rank, shapes=SHAPES):
    rng = np.random.default_rng(rank)
    return [np.asarray(rng.standard_normal(shape), np.float32) for shape in shapes]


@pytest.mark.parametrize("kind", [AllreduceSum, PairwiseSum])
@pytest.mark.parametrize("shapes", [SHAPES, [(7, 3)]], ids=["packed", "in place"])
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_buckets_are_summed_and_scaled(kind, shapes, factor):
    def work(communicator):
        arrays = bucket_of(communicator.rank, shapes)
        kind(communicator)(0, arrays, factor)
        return arrays

    ranks = run_ranks(4, work)
    for arrays in zip(*ranks, strict=True):
        assert_same_on_all_ranks(arrays)
    for array, *parts in zip(
        ranks[0], *(bucket_of(rank, shapes) for rank in range(4)), strict=True
    ):
        np.testing.assert_allclose(array, factor * sum(parts), rtol=1e-5, atol=1e-6)


def test_a_large_gradient_is_summed_in_pieces_of_a_bucket(monkeypatch):
    monkeypatch.setattr("minicaffe.distributed.gradient_sums.BUCKET_BYTES", 16)
    sizes = []

    class Counting(AllreduceSum):
        def _sum(self, piece, values):
            sizes.append((piece, values.size))
            super()._sum(piece, values)

    def work(communicator):
        values = np.arange(10, dtype=np.float32) + communicator.rank
        Counting(communicator)(3, [values], 0.5)
        return values

    (found,) = run_ranks(1, work)
    np.testing.assert_array_equal(found, np.arange(10) / 2)
    assert sizes == [((3, 0), 4), ((3, 4), 4), ((3, 8), 2)]


def bits_of(name, values):
    """Return what a format makes of values."""
    values = np.asarray(values, np.float32)
    bits = np.empty(values.shape, np.uint16)
    FORMATS[name].narrow(values, bits)
    return FORMATS[name].widen(bits)


@pytest.mark.parametrize(("name", "digits"), [("float16", 11), ("bfloat16", 8)])
def test_numbers_are_rounded_to_the_nearest_and_ties_to_even(name, digits):
    step = 2.0 ** (1 - digits)
    values = [1, 1 + step / 2, 1 + 1.5 * step, 1 + 0.6 * step, -1 - 0.4 * step, 0, 2.0**-14]
    wanted = [1, 1, 1 + 2 * step, 1 + step, -1, 0, 2.0**-14]
    np.testing.assert_array_equal(bits_of(name, values), wanted)


@pytest.mark.parametrize("name", FORMATS)
def test_values_that_are_not_finite_are_sent_as_they_are(name):
    values = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    # A NaN whose mantissa rounding would carry into the sign.
    values[:1].view(np.uint32)[:] = 0x7FFFFFFF
    np.testing.assert_array_equal(bits_of(name, values), [np.nan, np.inf, -np.inf, 1])


def test_finite_values_beyond_float16_become_its_largest():
    np.testing.assert_array_equal(bits_of("float16", [1e6, -1e6, np.inf]), [65504, -65504, np.inf])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_rounding_errors_are_sent_later(name, size):
    rng = np.random.default_rng(0)
    sent = rng.standard_normal((size, 11)).astype(np.float32)
    n = 64

    def work(communicator):
        reduce = RoundedSum(communicator, FORMATS[name])
        results = []
        for _ in range(n):
            values = sent[communicator.rank].copy()
            reduce(0, [values], 1.0)
            results.append(values)
        return np.array(results)

    ranks = run_ranks(size, work)
    assert_same_on_all_ranks(ranks)
    wanted = sent.sum(0, dtype=np.float64)
    single = np.abs(ranks[0][0] - wanted).max()
    mean = np.abs(ranks[0].mean(0, dtype=np.float64) - wanted).max()
    assert 0 < single < 0.05
    assert mean < single / 8


@pytest.mark.parametrize("name", FORMATS)
def test_a_gradient_that_is_not_finite_does_not_stay(name):
    def work(communicator):
        reduce = RoundedSum(communicator, FORMATS[name])
        results = []
        for value in (np.nan, np.inf, 1.0):
            values = np.array([value, 2.0], np.float32)
            reduce(0, [values], 1.0)
            results.append(values)
        return results

    first, second, third = run_ranks(2, work)[0]
    np.testing.assert_array_equal(first, [np.nan, 4])
    np.testing.assert_array_equal(second, [np.inf, 4])
    np.testing.assert_array_equal(third, [2, 4])


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("backend", ["reference", "onednn"])
@pytest.mark.parametrize("name", FORMATS)
def test_training_with_gradients_of_16_bits_is_close(name, backend, size):
    settings = "momentum: 0.9"
    ranks = train_by_ranks(size, settings, backend, gradient_type=name)
    assert_close(
        ranks[0], train_alone(settings, backend), {"float16": 1e-3, "bfloat16": 1e-2}[name]
    )
