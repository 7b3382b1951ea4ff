"""Dynamic batching: what is computed together, and what is not computed at all."""

import asyncio
import threading

import numpy as np
import pytest

from minicaffe.errors import DataError
from minicaffe.serving.batching import BatchLimits, BatchQueue
from minicaffe.serving.errors import ModelNotReady, QueueFull, RequestTimeout
from minicaffe.serving.servable import TensorSpec, part_sizes

pytestmark = pytest.mark.filterwarnings("error")


class Doubling:
    """Doubles arrays; waits before each batch until it may go on."""

    platform, image_model, labels = "test", None, ()

    def __init__(self, batches=True):
        self.batches = batches
        self.inputs = [TensorSpec("x", (-1, 2))]
        self.outputs = [TensorSpec("y", (-1, 2))]
        self.computed, self.is_closed = [], False
        self.may_go_on, self.has_begun = threading.Event(), threading.Event()

    def infer(self, inputs, wanted):
        self.has_begun.set()
        assert self.may_go_on.wait(20)
        self.computed.append(len(inputs["x"]))
        if (inputs["x"] < 0).any():
            raise DataError("negative")
        return {"y": 2 * inputs["x"]}

    def close(self):
        self.is_closed = True


def run(scenario, servable, **limits):
    async def main():
        queue = BatchQueue(servable, BatchLimits(**limits), "test")
        try:
            return await scenario(queue)
        finally:
            servable.may_go_on.set()
            await asyncio.to_thread(queue.close)
            assert servable.is_closed

    return asyncio.run(main())


def rows(*values):
    return {"x": np.array([[value, 0] for value in values], np.float32)}


async def begin(queue, servable):
    """Send a request whose computation waits, so that later ones wait in the queue."""
    first = queue.submit(rows(1), ["y"])
    await asyncio.to_thread(servable.has_begun.wait)
    return first


def test_requests_that_wait_are_computed_together_and_each_gets_its_own_rows():
    servable = Doubling()

    async def scenario(queue):
        first = await begin(queue, servable)
        others = [queue.submit(rows(*range(k, 2 * k)), ["y"]) for k in (2, 1, 3)]
        assert queue.queue_length == 3
        servable.may_go_on.set()
        return [value["y"][:, 0].tolist() for value in await asyncio.gather(first, *others)]

    assert run(scenario, servable) == [[2], [4, 6], [2], [6, 8, 10]]
    assert servable.computed == [1, 6]


def test_a_batch_has_no_more_samples_than_allowed():
    servable = Doubling()

    async def scenario(queue):
        first = await begin(queue, servable)
        others = [queue.submit(rows(*[0] * n), ["y"]) for n in (3, 2, 7, 1)]
        servable.may_go_on.set()
        await asyncio.gather(first, *others)

    run(scenario, servable, max_batch=5)
    assert servable.computed == [1, 5, 7, 1]


def test_models_that_do_not_batch_compute_one_request_at_a_time():
    servable = Doubling(batches=False)

    async def scenario(queue):
        await asyncio.gather(await begin(queue, servable), *self_released(queue, servable))

    def self_released(queue, servable):
        found = [queue.submit(rows(0), ["y"]) for _ in range(3)]
        servable.may_go_on.set()
        return found

    run(scenario, servable)
    assert servable.computed == [1, 1, 1, 1]


def test_a_batch_waits_for_more_requests():
    servable = Doubling()
    servable.may_go_on.set()

    async def scenario(queue):
        first = queue.submit(rows(1), ["y"])
        await asyncio.sleep(0.05)
        await asyncio.gather(first, queue.submit(rows(2), ["y"]))

    run(scenario, servable, max_batch=2, wait_s=15)
    assert servable.computed == [2]


def test_requests_whose_client_is_gone_are_not_computed():
    servable = Doubling()

    async def scenario(queue):
        first = await begin(queue, servable)
        gone, other = queue.submit(rows(5, 5, 5), ["y"]), queue.submit(rows(7), ["y"])
        gone.cancel()
        servable.may_go_on.set()
        await asyncio.gather(first, other)
        return queue.counters.outcomes

    outcomes = run(scenario, servable)
    assert servable.computed == [1, 1]
    assert (outcomes["ok"], outcomes["cancelled"]) == (2, 1)


def test_requests_have_a_time():
    servable = Doubling()

    async def scenario(queue):
        await begin(queue, servable)
        with pytest.raises(RequestTimeout, match=r"no answer within 0\.02 s"):
            await queue.submit(rows(2), ["y"], 0.02)
        return queue.counters.outcomes["timeout"]

    assert run(scenario, servable) == 1
    assert servable.computed == [1]


def test_the_queue_has_a_length():
    servable = Doubling()

    async def scenario(queue):
        waiting = [await begin(queue, servable), *(queue.submit(rows(2), ["y"]) for _ in range(3))]
        with pytest.raises(QueueFull, match="3 requests wait"):
            queue.submit(rows(2), ["y"])
        servable.may_go_on.set()
        await asyncio.gather(*waiting)
        return queue.counters.outcomes

    outcomes = run(scenario, servable, queue=3)
    assert (outcomes["ok"], outcomes["refused"]) == (4, 1)


def test_an_error_reaches_the_requests_of_its_batch_only():
    servable = Doubling()

    async def scenario(queue):
        first = await begin(queue, servable)
        wrong = [queue.submit(rows(value), ["y"]) for value in (-1, 2)]
        servable.may_go_on.set()
        found = await asyncio.gather(first, *wrong, return_exceptions=True)
        last = await queue.submit(rows(4), ["y"])
        return found, last["y"][0, 0], queue.counters.outcomes

    (first, *wrong), last, outcomes = run(scenario, servable)
    assert (first["y"][0, 0], last) == (2, 8)
    assert [str(error) for error in wrong] == ["negative"] * 2
    assert (outcomes["ok"], outcomes["failed"]) == (2, 2)


def test_a_queue_that_is_closed_answers_what_waits_and_takes_no_more():
    servable = Doubling()

    async def scenario(queue):
        first = await begin(queue, servable)
        second = queue.submit(rows(3), ["y"])
        closing = asyncio.create_task(asyncio.to_thread(queue.close))
        while not queue._is_closed:
            await asyncio.sleep(0.001)
        with pytest.raises(ModelNotReady):
            queue.submit(rows(4), ["y"])
        servable.may_go_on.set()
        await closing
        return [value["y"][0, 0] for value in await asyncio.gather(first, second)]

    assert run(scenario, servable) == [2, 6]


@pytest.mark.parametrize("largest", [1, 4, 32])
def test_parts_are_powers_of_two_that_add_little(largest):
    for n in range(1, 200):
        sizes = part_sizes(n, largest)
        assert all(size & (size - 1) == 0 and size <= largest for size in sizes)
        assert n <= sum(sizes) <= 4 * n / 3
        assert sum(sizes[:-1]) < n
