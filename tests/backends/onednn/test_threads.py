"""Small calls use one thread unless the user gives a number; the time saved is not tested."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import pytest

from minicaffe.backends import get_backend
from minicaffe.backends.onednn.runtime import brief_run, core_watch
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Primitive, work_of
from minicaffe.backends.onednn.runtime.threads import Threads, compute_threads
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
    """A backend that chooses from two threads, on idle cores."""
    monkeypatch.setenv("MINICAFFE_THREADS", "2")
    monkeypatch.setattr(core_watch.CoreWatch, "is_pausing", False)
    return get_backend("onednn")


def train(backend, rows=9, is_again=False):
    """Run both passes of a net; return the threads of each library call, and the gradients.

    With `is_again`, the passes run for the second time.
    """
    net = net_from_text(NET % rows, "TRAIN", backend=backend)
    net.blobs["data"].data.set(np.random.default_rng(3).standard_normal((3, 2, rows, 9)))
    NETS.append(net)
    counts, library = [], backend.engine.lib

    def counted(run):
        def call(*args):
            counts.append(library.omp.omp_get_max_threads())
            return run(*args)

        return call

    with ExitStack() as stack:
        for name in ("dnnl_primitive_execute", "dnnl_sgemm", "dnnl_primitive_create"):
            run = getattr(library.c, name)
            stack.enter_context(patch.object(library.c, name, counted(run)))
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


def test_busy_cores_change_the_threads_and_no_bit(automatic, monkeypatch):
    """Layers of 10 to 60 microseconds; their sums over images give the gradients."""
    counts, expected = train(automatic, 900, is_again=True)
    monkeypatch.setattr(core_watch.CoreWatch, "is_pausing", True)
    busy_counts, gradients = train(automatic, 900, is_again=True)
    assert busy_counts.count(2) < counts.count(2)
    assert len(busy_counts) == len(counts)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_busy_cores_do_not_change_threads_that_the_user_gives(onednn, monkeypatch):
    monkeypatch.setattr(core_watch.CoreWatch, "is_pausing", True)
    assert set(train(onednn, 900, is_again=True)[0]) == {2}


def test_a_primitive_with_other_values_keeps_its_threads(automatic, monkeypatch):
    monkeypatch.setattr(brief_run, "have_same_bits", lambda *_: False)
    counts, _ = train(automatic, 900, is_again=True)
    monkeypatch.setattr(core_watch.CoreWatch, "is_pausing", True)
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


class Clock:
    """Seconds that the test sets."""

    now_s = 100.0

    def perf_counter(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(core_watch, "time", found)
    return found


def test_a_single_delay_begins_no_pause(clock):
    watch = core_watch.CoreWatch()
    watch.count_call(0.005, 0.001)
    for _ in range(200):
        watch.count_call(0.0005, 0.001)
    watch.count_call(0.005, 0.001)
    assert not watch.is_pausing


def test_pauses_become_longer_and_then_shorter_again(clock):
    watch, pauses = core_watch.CoreWatch(), []
    for n_good in (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5000, 0):
        for _ in range(n_good):
            watch.count_call(0.0005, 0.001)
        watch.count_call(0.005, 0.001)
        began_s = clock.now_s
        while watch.is_pausing:
            clock.now_s += 0.001
        pauses.append(round(clock.now_s - began_s, 2))
        clock.now_s += 0.01
    assert pauses[:5] == [0.0, 0.01, 0.02, 0.04, 0.08]
    assert max(pauses) == 1.0 == pauses[11]
    assert pauses[12:] == [0.0, 0.01]


def test_a_pause_ends_if_a_call_is_delayed_in_it(clock):
    watch = core_watch.CoreWatch()
    for _ in range(2):
        watch.count_call(0.005, 0.001)
    assert watch.is_pausing
    clock.now_s += 0.006
    watch.count_call(0.005, 0.001)
    assert not watch.is_pausing
    for _ in range(4):
        clock.now_s += 0.006
        watch.count_call(0.005, 0.001)
    assert not watch.is_pausing  # for a second
    clock.now_s += core_watch.LONGEST_PAUSE_S
    watch.count_call(0.005, 0.001)
    assert watch.is_pausing


@pytest.mark.parametrize(("late", "ends"), [(1, True), (20, False)])
def test_a_pause_ends_if_calls_on_one_thread_are_late_too(clock, late, ends):
    """Every call, or one of 20."""
    watch = core_watch.CoreWatch()
    for _ in range(2):
        watch.count_call(0.005, 0.001)
    for i in range(100):
        watch.count_call_alone(0.005 if i % late == 0 else 0.0005, 0.001)
    assert watch.is_pausing != ends


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
    monkeypatch.setattr(core_watch.CoreWatch, "is_pausing", True)
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
