"""Graphs check and set the states of only those tensors that something else has changed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from minicaffe.backends.cuda.runtime import change_log
from minicaffe.backends.cuda.runtime.change_log import ChangeLog
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.activation import Sigmoid
from minicaffe.ops.layout import Add

LAST = Format(True)
SHAPE = (2, 8, 3, 5)


def test_changes_since_a_position():
    log = ChangeLog()
    start = log.position
    for number in (3, 5, 3):
        log.add(number)
    assert log.changed_since(start) == {3, 5}
    assert log.changed_since(start + 2) == {3}
    assert log.changed_since(log.position) == set()


def test_old_changes_are_forgotten(monkeypatch):
    monkeypatch.setattr(change_log, "LIMIT", 10)
    log = ChangeLog()
    for number in range(25):
        log.add(number)
    assert log.position == 25
    assert log.changed_since(0) is None
    assert log.changed_since(20) == {20, 21, 22, 23, 24}


@pytest.fixture
def counted(monkeypatch):
    """The calls of the methods that compare and set states."""
    calls = []
    for name in ("matches", "set_state"):
        given = getattr(CudaTensor, name)

        def method(self, state, given=given, name=name):
            calls.append((name, self))
            return given(self, state)

        monkeypatch.setattr(CudaTensor, name, method)
    return calls


def chain(backend, n=5):
    """Return tensors, each the sigmoid of the one before, and a function that computes them."""
    tensors = [backend.tensor(SHAPE) for _ in range(n)]
    pairs = list(itertools.pairwise(tensors))
    kernels = [backend.plan(Sigmoid(), *pair) for pair in pairs]

    def work():
        for kernel, pair in zip(kernels, pairs, strict=True):
            kernel.forward(*pair)

    return tensors, backend.compile([work])


def sigmoids(x, n):
    for _ in range(n):
        x = 1 / (1 + np.exp(-x.astype(np.float64)))
    return x


def test_what_nothing_has_changed_is_not_compared(make_backend, counted):
    tensors, work = chain(make_backend())
    for step in range(6):
        tensors[0].set(np.full(SHAPE, 0.1 * step))
        counted.clear()
        work()
    assert counted == [("matches", tensors[0])]
    np.testing.assert_allclose(tensors[-1].get(), sigmoids(np.full(SHAPE, 0.5), 4), rtol=1e-6)
    counted.clear()
    work()
    assert counted == []


CHANGES = {
    "a mirror on the host": lambda t: t.host(),
    "a mirror that is written": lambda t: t.host().fill(0.25),
    "another format": lambda t: t.source(LAST),
    "a view": lambda t: t.view((6, 40)).source(),
    "another memory order": lambda t: t.change(LAST),
    "zeros": lambda t: t.clear(),
    "an array": lambda t: t.update().__setitem__(..., 0.25),
    "nothing": lambda t: t.get(),
}


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("name", CHANGES)
def test_changed_tensors_are_compared(make_backend, name, index):
    """Whatever happens to one of the tensors between launches, the results are right."""
    tensors, work = chain(make_backend())
    for step in range(12):
        x = np.full(SHAPE, 0.1 * step, np.float32)
        if index or step < 6:
            tensors[0].set(x)
        if step >= 6 and step % 2:
            CHANGES[name](tensors[index])
            x = tensors[0].get()
        elif not index:
            tensors[0].set(x)
        work()
        for n, tensor in enumerate(tensors[1:], 1):
            np.testing.assert_allclose(tensor.get(), sigmoids(x, n), rtol=1e-6)
            np.testing.assert_array_equal(tensor.view((240,)).get(), tensor.get().ravel())
            np.testing.assert_array_equal(tensor.host(), tensor.get())


def test_two_graphs_that_write_the_same_tensor(make_backend):
    backend = make_backend()
    x, y, z = (backend.tensor(SHAPE) for _ in range(3))
    sigmoid, add = backend.plan(Sigmoid(), x, y), backend.plan(Add(), x, y, z)
    first = backend.compile([lambda: sigmoid.forward(x, y)])
    second = backend.compile([lambda: (add.forward([x, y], z), y.clear())])
    for step in range(8):
        x.set(np.full(SHAPE, 0.1 * step))
        first()
        np.testing.assert_allclose(y.get(), sigmoids(x.get(), 1), rtol=1e-6)
        second()
        np.testing.assert_allclose(z.get(), x.get() + sigmoids(x.get(), 1), rtol=1e-6)
        assert not y.get().any()


def test_views_read_what_a_graph_has_written_since(make_backend):
    tensors, work = chain(make_backend())
    views = [tensor.view((240,)) for tensor in tensors]
    for step in range(8):
        x = np.full(SHAPE, 0.1 * step, np.float32)
        tensors[0].set(x)
        tensors[0].change(LAST)
        work()
        for n, view in enumerate(views):
            np.testing.assert_allclose(view.get(), sigmoids(x, n).ravel(), rtol=1e-6)


def test_a_conversion_by_one_graph_is_outdated_by_the_next_launch_of_another(make_backend):
    backend = make_backend()
    x, y = backend.tensor(SHAPE), backend.tensor(SHAPE)
    kernel = backend.plan(Sigmoid(), x, y)
    first = backend.compile([lambda: kernel.forward(x, y)])
    second = backend.compile([lambda: y.source()])
    for step in range(8):
        x.set(np.full(SHAPE, 0.1 * step))
        x.change(LAST)
        first()
        for _ in range(2):
            np.testing.assert_allclose(y.get(), sigmoids(x.get(), 1), rtol=1e-6)
            second()
