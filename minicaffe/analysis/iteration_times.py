"""Times of training iterations of one process, and when each gradient is complete in them."""

from __future__ import annotations

import hashlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from minicaffe.analysis.scaling import Bucket, IterationProfile
from minicaffe.distributed.buckets import group_into_buckets
from minicaffe.net import Net
from minicaffe.schema import SolverParameter
from minicaffe.solver.iteration import ParameterUpdate
from minicaffe.solver.parallel.completion import find_completions
from minicaffe.solver.rules import RULES
from minicaffe.solver.update_settings import UpdateSettings

# The first passes plan, compile and allocate.
_WARM_UP = 2
# hashlib lets other Python threads run while it reads so much, which takes about a millisecond.
_HASHED_BYTES = 1 << 20


@dataclass(frozen=True)
class IterationTimes:
    """Times of the parts of whole iterations, in seconds, one value an iteration.

    Parameters
    ----------
    forward_s, backward_s, update_s : sequence of float
    shared_backward_s : sequence of float
        Of the backward pass beside a thread that keeps a core busy.
    """

    forward_s: Sequence[float]
    backward_s: Sequence[float]
    update_s: Sequence[float]
    shared_backward_s: Sequence[float]

    @property
    def deviation_s(self) -> float:
        """The standard deviation of the time of an iteration; 0 for a single one."""
        parts = zip(self.forward_s, self.backward_s, self.update_s, strict=True)
        sums = [sum(iteration) for iteration in parts]
        return statistics.stdev(sums) if len(sums) > 1 else 0.0

    @property
    def shared_speed(self) -> float:
        """Speed of the backward pass beside a busy thread, relative to that without; at most 1."""
        alone, shared = map(statistics.median, (self.backward_s, self.shared_backward_s))
        return min(alone / shared, 1.0)


def measure_iterations(net: Net, n: int) -> IterationTimes:
    """Run `n` iterations as a solver does, with SGD at rate 0, which leaves the weights.

    Layers run fused and compiled, unlike those that are timed one by one.
    """
    rule = RULES["SGD"]
    update = ParameterUpdate(net, SolverParameter(type=rule.type, momentum=0.9), rule)
    update.set_step(UpdateSettings(0.0), 1.0)
    run_update = update.task()
    net.prepare_training()

    def forward() -> None:
        net.clear_param_diffs()
        net.forward()

    def shared_backward() -> float:
        forward()
        with busy_thread():
            return _seconds(net, net.backward)

    parts: tuple[Callable[[], None], ...] = (forward, net.backward, run_update)
    rows = [
        [*(_seconds(net, part) for part in parts), shared_backward()] for _ in range(_WARM_UP + n)
    ]
    return IterationTimes(*zip(*rows[_WARM_UP:], strict=True))


@contextmanager
def busy_thread() -> Iterator[None]:
    """Keep a core busy during a block, as a thread does that waits for a message in MPI."""
    ends = threading.Event()

    def run() -> None:
        contents = bytes(_HASHED_BYTES)
        while not ends.is_set():
            hashlib.blake2b(contents)

    thread = threading.Thread(target=run, name="minicaffe-busy", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def _seconds(net: Net, work: Callable[[], None]) -> float:
    net.backend.synchronize()
    began = time.perf_counter()
    work()
    net.backend.synchronize()
    return time.perf_counter() - began


def profile_of(
    net: Net, times: IterationTimes, layer_backward_s: Sequence[float]
) -> IterationProfile:
    """Return the profile of an iteration.

    Parameters
    ----------
    net : Net
    times : IterationTimes
        Times of whole iterations.
    layer_backward_s : sequence of float
        For each step of the net, in order: the time of its backward pass alone. Only their ratios
        count: their sum is that of the whole pass.
    """
    backward_s = statistics.fmean(times.backward_s)
    durations = dict(zip(net.steps, layer_backward_s, strict=True))
    ends, passed = [], 0.0
    for step in net.backward_steps:
        passed += durations[step]
        ends.append(passed)
    scale = backward_s / passed if passed else 0.0
    completions = find_completions(net)
    sizes = [c.parameter.blob.count * net.backend.dtype.itemsize for c in completions]
    buckets = [
        Bucket(
            max(ends[completions[index].task] for index in bucket) * scale,
            sum(sizes[index] for index in bucket),
        )
        for bucket in group_into_buckets(sizes)
    ]
    return IterationProfile(
        forward_s=statistics.fmean(times.forward_s),
        backward_s=backward_s,
        update_s=statistics.fmean(times.update_s),
        deviation_s=times.deviation_s,
        buckets=buckets,
        images=images_per_pass(net),
        shared_speed=times.shared_speed,
    )


def images_per_pass(net: Net) -> int:
    """Return the number of images of a pass: the first axis of what the first source fills."""
    shapes = (step.top[0].shape for step in net.steps if not step.bottom and step.top)
    return next((shape[0] for shape in shapes if shape), 1)
