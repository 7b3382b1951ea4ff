"""Deferred sums have the values of the moment at which they were deferred."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn.kernels.layout import OneDnnAdd
from minicaffe.backends.onednn.runtime.memory import Buffer
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.activation import Relu
from minicaffe.ops.eltwise import Eltwise
from minicaffe.ops.layout import Add

SHAPE = (2, 5, 3, 7)


@pytest.fixture
def make(onednn, pack_channels):
    """Return a function that makes a tensor filled with a number, in blocks of channels."""
    return lambda number: pack_channels(np.full(SHAPE, number, np.float32))


@pytest.fixture
def add(onednn, make):
    """Return a function that makes the deferred sum of tensors."""

    def run(*terms):
        y = onednn.tensor(SHAPE)
        onednn.plan(Add(), *terms, y).forward(terms, y)
        return y

    return run


def number_of(tensor):
    values = np.unique(tensor.get())
    assert values.size == 1
    return values[0]


def test_sum(make, add):
    a, b, c = make(1), make(2), make(4)
    y = add(a, b, c)
    assert y.terms() == (a, b, c)
    assert not y.is_zero
    assert y.layout is a.layout
    assert number_of(y) == 7
    assert y.terms() == (y,)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.set(9),
        lambda t: t.clear(),
        lambda t: t.update().fill(9),
        lambda t: t.host().fill(9),
        lambda t: t.values_to_write(t.layout).fill(9),
        lambda t: t.values_to_update(t.layout).fill(9),
        lambda t: t.add(t),
        lambda t: t.reshape((1, 5, 3, 7)),
    ],
    ids=["set", "clear", "update", "host", "write", "update packed", "add", "reshape"],
)
@pytest.mark.parametrize("index", [0, 1])
def test_changes_of_terms_do_not_change_the_sum(make, add, change, index):
    terms = make(1), make(2)
    whole, copy = add(*terms), add(terms[index])
    second = add(copy)
    change(terms[index])
    assert number_of(whole) == 3
    assert number_of(copy) == number_of(second) == 1 + index


def test_overwriting_the_original_gives_its_memory_to_the_copy(make, add):
    a = make(1)
    layout = a.layout
    memory = a.source(layout)
    copy = add(a)
    assert copy.source(layout) == memory
    a.values_to_write(layout).fill(9)
    assert copy.source(layout) == memory
    assert (number_of(copy), number_of(a)) == (1, 9)


def test_changing_a_copy_leaves_the_original(make, add):
    a = make(1)
    copy = add(a)
    copy.add(a)
    assert (number_of(copy), number_of(a)) == (2, 1)
    copy = add(a)
    copy.values_to_update(a.layout).fill(5)
    assert (number_of(copy), number_of(a)) == (5, 1)


def test_sum_that_replaces_the_original_of_its_term(make, add, onednn):
    """In the next iteration the gradient of a sum's summand is a copy of the one before."""
    a, other = make(1), make(2)
    copy = add(a)
    onednn.plan(Add(), copy, other, a).forward([copy, other], a)
    assert (number_of(a), number_of(copy)) == (3, 1)


def test_visible_tensors_are_computed_at_once(make, add, onednn):
    a, y = make(1), onednn.tensor(SHAPE)
    view = y.host()
    onednn.plan(Add(), a, a, y).forward([a, a], y)
    np.testing.assert_array_equal(view, np.full(SHAPE, 2))


def shared(onednn, layout, keeps_terms):
    """Return a tensor in memory that others use as well."""
    y = onednn.tensor(SHAPE)
    y.share_memory(Buffer(layout.size_bytes, onednn.engine.handle), [], keeps_terms)
    return y


@pytest.mark.parametrize("keeps_terms", [False, True])
def test_sums_in_shared_memory_are_deferred_if_their_terms_live(onednn, make, keeps_terms):
    a, b = make(1), make(2)
    whole, copy = (shared(onednn, a.layout, keeps_terms) for _ in range(2))
    onednn.plan(Add(), a, b, whole).forward([a, b], whole)
    onednn.plan(Add(), a, copy).forward([a], copy)
    assert tuple(whole.terms()) == ((a, b) if keeps_terms else (whole,))
    assert tuple(copy.terms()) == ((a,) if keeps_terms else (copy,))
    assert (number_of(whole), number_of(copy)) == (3, 1)


@pytest.mark.parametrize("change", [lambda t: t.values_to_write(t.layout), lambda t: t.update()])
def test_sums_of_an_earlier_pass_are_not_computed(onednn, make, change, monkeypatch):
    """Their memory may hold other values by then."""
    a, b = make(1), make(2)
    whole, copy = (shared(onednn, a.layout, True) for _ in range(2))
    onednn.plan(Add(), a, b, whole).forward([a, b], whole)
    onednn.plan(Add(), a, copy).forward([a], copy)
    with monkeypatch.context() as patch:
        patch.setattr(OneDnnAdd, "_add", lambda *_: pytest.fail("the sum was stored"))
        patch.setattr(OneDnnTensor, "copy_from", lambda *_: pytest.fail("the copy was stored"))
        change(a).fill(9)
    assert (number_of(a), number_of(b)) == (9, 2)
    assert whole.is_zero
    assert copy.is_zero


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_gradient_of_relu_adds_the_terms(onednn, make, add, n, monkeypatch):
    """Eltwise, ReLU and Split of a residual net: no sum is stored."""
    if onednn.native is None:
        pytest.skip("no C compiler")
    y, terms = make(0), [make(i + 1) for i in range(n)]
    values = np.random.default_rng(n).standard_normal(SHAPE)
    y.set(values)
    y.source(terms[0].layout)
    monkeypatch.setattr(OneDnnAdd, "_add", lambda *_: pytest.fail("the sum was stored"))
    dy = add(*terms)
    packed = make(0)
    packed.copy_from(y)
    relu, eltwise = (
        onednn.plan(Relu(), packed, packed),
        onednn.plan(Eltwise("sum", (1, 2)), y, y, y),
    )
    with onednn.lock:
        relu.backward(packed, packed, dy, dy)
        summands = [onednn.tensor(SHAPE) for _ in range(2)]
        eltwise.backward([y, y], y, dy, summands)
    want = np.where(values > 0, n * (n + 1) / 2, 0)
    for tensor, factor in zip((dy, *summands), (1, 1, 2), strict=True):
        np.testing.assert_array_equal(tensor.get(), factor * want)
