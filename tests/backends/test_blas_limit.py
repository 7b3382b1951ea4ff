"""Backends limit the threads of NumPy's BLAS while they compute, and at no other time."""

from __future__ import annotations

import functools
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl

from minicaffe.backends import blas_limit, get_backend
from minicaffe.backends.blas_limit import BlasLimit
from minicaffe.errors import BackendUnavailable
from minicaffe.ops.dropout import Dropout
from probe import net_from_text

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 5 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 3 } } }
layer { name: "drop" type: "Dropout" bottom: "data" top: "drop" }
layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip"
  inner_product_param { num_output: 7 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
BEFORE = 3


@pytest.fixture(scope="module")
def controller():
    controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
    if not controller.lib_controllers:
        pytest.skip("this NumPy has no BLAS library whose threads can be set")
    return controller


@pytest.fixture(autouse=True)
def three_threads(controller):
    with controller.limit(limits=BEFORE):
        yield


@pytest.fixture
def blas_threads(controller):
    """Return a function that returns the number of threads of NumPy's BLAS."""

    def read():
        (count,) = {library.get_num_threads() for library in controller.lib_controllers}
        return count

    return read


def make_backend(name, threads):
    try:
        return get_backend(name, threads=threads)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def seen_in_layers(monkeypatch, blas_threads):
    """Return the thread counts that a layer's kernel finds in forward and backward."""
    counts = []

    def count_before(method):
        def counted(self, *args, **kwargs):
            counts.append(blas_threads())
            return method(self, *args, **kwargs)

        return counted

    cls = get_backend("reference").kernels[Dropout]
    for name in ("forward", "backward"):
        monkeypatch.setattr(cls, name, count_before(getattr(cls, name)))
    return counts


@pytest.mark.parametrize(
    ("name", "threads", "while_computing"),
    [("onednn", None, 1), ("onednn", 2, 1), ("reference", 2, 2), ("reference", None, BEFORE)],
)
def test_threads_are_limited_only_while_a_net_computes(
    name, threads, while_computing, blas_threads, seen_in_layers
):
    net = net_from_text(NET, backend=make_backend(name, threads))
    assert blas_threads() == BEFORE
    net.blobs["data"].data.set(np.ones((3, 5)))
    for _ in range(2):
        net.forward()
        net.backward()
        assert blas_threads() == BEFORE
    assert seen_in_layers
    assert set(seen_in_layers) == {while_computing}
    del net
    gc.collect()
    assert blas_threads() == BEFORE


def test_a_failing_task_restores_the_threads(blas_threads):
    backend = make_backend("onednn", 2)

    def fail():
        raise OSError("task")

    with pytest.raises(OSError, match="task"):
        backend.compile([fail])()
    assert blas_threads() == BEFORE
    with pytest.raises(OSError, match="task"), backend.lock, backend.lock:
        fail()
    assert blas_threads() == BEFORE


def test_nested_limits_are_one(blas_threads):
    limit = BlasLimit(1)
    with limit:
        with limit, BlasLimit(2):
            assert blas_threads() == 1
        assert blas_threads() == 1
    assert blas_threads() == BEFORE


def test_the_smallest_limit_of_all_threads_holds_until_the_last_leaves(blas_threads):
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with BlasLimit(1):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    with BlasLimit(2):
        assert blas_threads() == 2
        thread.start()
        assert entered.wait(10)
        assert blas_threads() == 1
    assert blas_threads() == 1
    leave.set()
    thread.join(10)
    assert blas_threads() == BEFORE


def test_threads_that_begin_together_share_the_record_of_limits(monkeypatch):
    made = []

    def make_slowly():
        made.append(object())
        time.sleep(0.05)  # so that the other thread asks meanwhile
        return made[-1]

    monkeypatch.setattr(blas_limit, "_make_limits", functools.cache(make_slowly))
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda _: blas_limit._process_limits(), range(4)))
    assert got == made * 4
