"""Small calls use one thread unless the user gives a number; the time saved is not tested."""

from __future__ import annotations

import math
import threading
from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import pytest

from minicaffe.backends import get_backend
from minicaffe.backends.onednn.runtime import brief_run, core_watch, native
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.native import ThreadedFunction
from minicaffe.backends.onednn.runtime.primitive import Primitive, work_of
from minicaffe.backends.onednn.runtime.threads import Threads, compute_threads
from minicaffe.native.library import NativeLibrary
from probe import net_from_text

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape: { dim: 3 dim: 2 dim: %d dim: 9 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape: { dim: 3 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "sig" type: "Sigmoid" bottom: "conv" top: "sig" }
layer { name: "pool" type: "Pooling" bottom: "sig" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

# Kept, because a backend's cache of reorders knows the addresses of memory; a new net at the old
# addresses would call the functions of the net before.
NETS = []


@pytest.fixture
def automatic(onednn, monkeypatch):
    """A backend that chooses from two threads, and does not learn whether cores are busy."""
    monkeypatch.setenv("MINICAFFE_THREADS", "2")
    for name in ("count_wait", "count_call_in_pause"):
        monkeypatch.setattr(core_watch.CoreWatch, name, lambda *_: None)
    return get_backend("onednn")


def train(backend, rows=9, is_again=False):
    """Run both passes of a net; return the threads of all computing calls, and the gradients.

    With `is_again`, the passes run for the second time.
    """
    counts, library = [], backend.engine.lib
    lookup = NativeLibrary.lookup

    def counted(run):
        def call(*args):
            counts.append(library.omp.omp_get_max_threads())
            return run(*args)

        return call

    def threaded(native, name):
        run = lookup(native, name)

        def call(*args):
            counts.append(args[-1])
            return run(*args)

        return call

    with ExitStack() as stack:
        for name in ("dnnl_primitive_execute", "dnnl_sgemm", "dnnl_primitive_create"):
            run = getattr(library.c, name)
            stack.enter_context(patch.object(library.c, name, counted(run)))
        stack.enter_context(patch.object(NativeLibrary, "lookup", threaded))
        net = net_from_text(NET % rows, "TRAIN", backend=backend)
        net.blobs["data"].data.set(np.random.default_rng(3).standard_normal((3, 2, rows, 9)))
        NETS.append(net)
        if is_again:
            net.forward()
            net.backward()
            net.clear_param_diffs()
            counts.clear()
        net.forward()
        net.backward()
    return counts, [p.blob.diff.get() for p in net.parameters]


def test_small_calls_use_one_thread(automatic):
    counts, _ = train(automatic)
    assert len(counts) > 10
    assert set(counts) == {1}
    with automatic.lock:
        assert automatic.engine.lib.omp.omp_get_max_threads() == 2


def test_large_calls_use_all_threads(automatic):
    counts, _ = train(automatic, rows=9000)
    assert set(counts) == {1, 2}


def test_given_threads_are_used_by_every_call(onednn):
    counts, _ = train(onednn)
    assert set(counts) == {onednn.threads} == {2}


def test_the_choice_changes_no_value_beyond_rounding(automatic, onednn):
    for one, other in zip(train(automatic)[1], train(onednn)[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_net_in_another_thread_of_the_program_chooses_too(automatic):
    found = []
    other = threading.Thread(target=lambda: found.append(train(automatic)))
    other.start()
    other.join()
    assert set(found[0][0]) == {1}


def test_busy_cores_change_the_threads_and_no_bit(automatic):
    """Layers of 10 to 60 microseconds; their sums over images give the gradients."""
    counts, expected = train(automatic, 900, is_again=True)
    automatic.engine.watch.ends_s = math.inf
    busy_counts, gradients = train(automatic, 900, is_again=True)
    assert busy_counts.count(2) < counts.count(2)
    assert len(busy_counts) == len(counts)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_busy_cores_do_not_change_threads_that_the_user_gives(onednn, monkeypatch):
    monkeypatch.setattr(onednn.engine.watch, "ends_s", math.inf)
    assert set(train(onednn, 900, is_again=True)[0]) == {2}


def test_a_primitive_with_other_values_keeps_its_threads(automatic, monkeypatch):
    monkeypatch.setattr(brief_run, "have_same_bits", lambda *_: False)
    monkeypatch.setattr(automatic, "native", None)
    counts, _ = train(automatic, 900, is_again=True)
    automatic.engine.watch.ends_s = math.inf
    assert train(automatic, 900, is_again=True)[0] == counts


def linear(engine, layout, alpha=1.5):
    arguments = (Prop.TRAINING, Alg.ELTWISE_LINEAR, layout, layout, alpha, 0.0)
    return Primitive(engine, "eltwise_forward", *arguments)


def test_bits_and_layouts_are_compared(onednn):
    plain = Layout.plain((3, 5, 7, 9))
    last = Layout.channels_last((3, 5, 7, 9))
    engine, ports = onednn.engine, [(Arg.SRC, plain), (Arg.DST, plain)]
    with onednn.lock:
        same = linear(engine, plain), linear(engine.alone, plain)
        assert brief_run.have_same_bits(*same, ports)
        rounded = linear(engine, plain), linear(engine, plain, 1.5000001)
        assert not brief_run.have_same_bits(*rounded, ports)
        elsewhere = linear(engine, plain), linear(engine, last)
        assert not brief_run.have_same_bits(*elsewhere, ports)


class Times:
    """A watch, and calls that take 1 ms on two threads and 2 ms on one undisturbed thread."""

    def __init__(self):
        self.watch, self.now_s = core_watch.CoreWatch(), 100.0

    @property
    def is_pausing(self):
        return self.now_s < self.watch.ends_s

    def call(self, took_s):
        """Let a call end; outside of pauses it is known to have waited if it took over 2 ms."""
        begins_in_pause = self.is_pausing
        self.now_s += took_s
        if begins_in_pause:
            self.watch.count_call_in_pause(took_s, 0.002, self.now_s)
        elif took_s > 0.002:
            self.watch.count_wait(took_s, 0.002, self.now_s)
        else:
            self.watch.count_call(took_s, 0.002)


def test_a_single_wait_begins_no_pause():
    times = Times()
    for n in (200, 0, 200):
        for _ in range(n):
            times.call(0.001)
        times.call(0.005)
        assert not times.is_pausing


def test_waits_that_take_longer_than_one_thread_begin_pauses_that_grow():
    times, pauses = Times(), []
    for _ in range(200):
        times.call(0.001)
    for _ in range(40):
        times.call(0.005)
        began_s = times.now_s
        while times.is_pausing:
            times.call(0.0025)
        pauses.append(round(times.now_s - began_s, 2))
    begun = [pause for pause in pauses if pause]
    assert pauses[:5] == [0] * 5  # the calls before were fast
    assert begun[:4] == [0.01, 0.02, 0.04, 0.08]
    assert 1 <= begun[-1] <= 1.01
    assert pauses[-1] == begun[-1]


def test_pauses_are_short_again_after_a_second_without():
    times = Times()
    for _ in range(20):
        times.call(0.005)
        while times.is_pausing:
            times.call(0.0025)
    for _ in range(1100):
        times.call(0.001)
    while not times.is_pausing:
        times.call(0.005)
    assert times.watch.ends_s - times.now_s == pytest.approx(core_watch.SHORTEST_PAUSE_S)


@pytest.mark.parametrize(("took_s", "ends"), [(0.0025, False), (0.0075, True)])
def test_a_pause_ends_if_calls_wait_as_long_in_it(took_s, ends):
    """Waits of half a millisecond are less than those outside, others are more."""
    times = Times()
    times.call(0.004)
    times.watch.ends_s = times.now_s + 0.3
    for _ in range(30):
        times.call(took_s)
    assert times.is_pausing != ends
    if ends:
        times.call(0.004)
        assert not times.is_pausing
        times.now_s += core_watch.LONGEST_PAUSE_S
        times.call(0.004)
        assert times.is_pausing


class Clock:
    """Seconds that the test sets."""

    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    for module in (core_watch, native):
        monkeypatch.setattr(module, "perf_counter", found)
    return found


def threaded_function(backend, clock, took_s, **work):
    """Return a function whose calls take these seconds in turn, and the threads of its calls."""
    seconds, threads = iter(took_s), []

    def run(*args):
        clock.now_s += next(seconds)
        threads.append(args[-1])

    return ThreadedFunction(backend.engine, run, **work), threads


@pytest.mark.usefixtures("onednn")
def test_a_c_kernel_uses_one_thread_when_its_calls_have_waited(clock, monkeypatch):
    monkeypatch.setenv("MINICAFFE_THREADS", "2")
    backend = get_backend("onednn")
    # The first call is not counted: its memory is new.
    took_s = [0.01, *[0.0005] * 30, *[0.005] * 12]
    function, threads = threaded_function(backend, clock, took_s, multiply_adds=5e7)
    for _ in took_s:
        function("given")
    assert set(threads[:33]) == {2}
    assert 1 in threads[33:]


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        ({"multiply_adds": 5e7}, 1),
        ({"size_bytes": 1e6}, 1),
        ({"multiply_adds": 1e9}, 2),  # too long
        ({"multiply_adds": 5e7, "parts": 1}, 1),
        ({"multiply_adds": 1e3}, 1),
    ],
)
def test_short_c_kernels_use_one_thread_in_a_pause(
    automatic, onednn, clock, monkeypatch, work, expected
):
    function, threads = threaded_function(automatic, clock, [0.001] * 9, **work)
    of_user, given = threaded_function(onednn, clock, [0.001] * 9, **work)
    monkeypatch.setattr(onednn.engine.watch, "ends_s", math.inf)
    function()
    automatic.engine.watch.ends_s = math.inf
    function()
    of_user()
    can_share = "parts" not in work and work.get("multiply_adds") != 1e3
    assert threads == [2 if can_share else 1, expected]
    assert given == [1 if "parts" in work else 2]


def test_a_call_on_one_thread_that_is_slower_than_estimated_is_no_wait(clock):
    watch = core_watch.CoreWatch()
    timed = core_watch.TimedCall(watch, 2, 0.001)
    for is_alone in (False, True, False, False):
        start_s = clock.now_s
        clock.now_s += 0.009 if is_alone else 0.006  # longer than twice the estimate
        timed.count(start_s, is_alone)
    assert watch.ends_s == 0


def test_calls_that_cannot_run_alone_show_no_wait_for_ever(clock):
    watch = core_watch.CoreWatch()
    timed = core_watch.TimedCall(watch, 2, 0.001)
    timed.never_run_alone()
    for _ in range(9):
        start_s = clock.now_s
        clock.now_s += 0.006
        timed.count(start_s, is_alone=False)
    assert watch.ends_s == 0


def test_calls_that_always_wait_are_found_by_their_estimate(clock):
    watch = core_watch.CoreWatch()
    timed = core_watch.TimedCall(watch, 2, 0.001)
    for _ in range(3):
        start_s = clock.now_s
        clock.now_s += 0.006
        timed.count(start_s, is_alone=False)
    assert watch.ends_s > 0


def test_the_number_depends_on_the_work():
    chosen = Threads(16, are_given=False)
    assert chosen.for_work(multiply_adds=1e3, size_bytes=1e3) == 1
    assert chosen.for_work(multiply_adds=1e7) == 16
    assert chosen.for_work(size_bytes=1e7) == 16
    assert Threads(16).for_work(multiply_adds=1.0) == 16


@pytest.mark.parametrize(
    ("multiply_adds", "keeps_bits", "expected"),
    [(1e3, False, 1), (1e7, False, 2), (5e6, True, 1), (1e10, True, 2)],
)
def test_kernels_without_primitives_choose_alike(
    automatic, onednn, monkeypatch, multiply_adds, keeps_bits, expected
):
    """On busy cores, short calls use one thread if that changes no bit."""
    assert automatic.engine.threads_for(1e7, keeps_bits=True) == 2
    for engine in (automatic.engine, onednn.engine):
        monkeypatch.setattr(engine.watch, "ends_s", math.inf)
    assert automatic.engine.threads_for(multiply_adds, keeps_bits=keeps_bits) == expected
    assert onednn.engine.threads_for(multiply_adds, keeps_bits=keeps_bits) == 2


def test_a_number_that_the_user_gives_is_no_choice(monkeypatch):
    monkeypatch.setenv("MINICAFFE_THREADS", "3")
    assert compute_threads(None) == Threads(3, are_given=False)
    assert compute_threads(5) == Threads(5, are_given=True)


def test_work_of_a_grouped_convolution(onednn):
    """5 x 4 x 6 x 7 outputs, each a sum over 3 channels of a group and 2 x 2 taps."""
    x, w, y = map(AnyLayout, ((5, 6, 7, 8), (2, 2, 3, 2, 2), (5, 4, 6, 7)))
    products, size_bytes = work_of("convolution_forward", (0, 0, x, w, None, y, (1, 1)))
    assert products == 5 * 4 * 6 * 7 * 3 * 2 * 2
    assert size_bytes == 4 * (5 * 6 * 7 * 8 + 2 * 2 * 3 * 2 * 2 + 5 * 4 * 6 * 7)


def test_work_of_an_elementwise_primitive(onednn):
    layout = Layout.plain((3, 5))
    assert work_of("eltwise_forward", (0, 0, layout, layout, 1.0, 0.0)) == (0.0, 2 * 4 * 15)
