"""Mapping of a stream on all cores: order, memory and errors."""

import threading

import pytest

from minicaffe.cores import usable_cores
from minicaffe.data.ordered_pool import mapped_in_order


def test_results_have_the_order_of_the_items():
    first_may_end = threading.Event()

    def slow_first(item):
        if item == 0:
            first_may_end.wait(10)
        else:
            first_may_end.set()
        return item * item

    results = [(item, future.result()) for item, future in mapped_in_order(slow_first, range(50))]
    if usable_cores() > 1:
        assert first_may_end.is_set()
    assert results == [(item, item * item) for item in range(50)]


def test_few_items_are_in_memory():
    taken = 0

    def items():
        nonlocal taken
        for item in range(10_000):
            taken += 1
            yield item

    for number, _ in enumerate(mapped_in_order(abs, items()), start=1):
        assert taken - number <= 4 * usable_cores() + 1
        if number == 500:
            break
    assert number == 500


def test_an_error_belongs_to_its_item():
    def inverse(item):
        return 1 / item

    results = dict(mapped_in_order(inverse, [2, 0, 4]))
    assert results[2].result() == 0.5
    assert results[4].result() == 0.25
    with pytest.raises(ZeroDivisionError):
        results[0].result()


def test_threads_end_with_the_loop():
    before = threading.active_count()
    for _ in mapped_in_order(abs, range(100)):
        break
    assert threading.active_count() == before
