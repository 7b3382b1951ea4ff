"""The check before kernels that lose NaN, on one thread and divided among several."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends import get_backend
from minicaffe.backends.onednn.kernels import _non_finite
from minicaffe.backends.onednn.kernels._non_finite import has_finite_values
from minicaffe.backends.onednn.runtime.library import DataType
from minicaffe.backends.onednn.runtime.memory import Layout, TaggedLayout

SIZE = 1003
ONE_AXIS = 2  # dnnl_a of dnnl_types.h


@pytest.fixture(params=[1, 2, 3], ids=lambda threads: f"{threads} threads")
def native_backend(onednn, request):
    """A backend that uses all its threads for everything."""
    return get_backend("onednn", threads=request.param)


@pytest.fixture
def backend(native_backend, monkeypatch):
    """A backend without C kernels."""
    monkeypatch.setattr(_non_finite, "MIN_VALUES_PER_THREAD", 100)
    monkeypatch.setattr(native_backend, "native", None)
    return native_backend


@pytest.fixture
def parts(monkeypatch):
    """Return the list of the sizes that threads have looked at."""
    sizes, is_finite = [], _non_finite.is_finite

    def recorded(xp, values):
        sizes.append(values.size)
        return is_finite(xp, values)

    monkeypatch.setattr(_non_finite, "is_finite", recorded)
    return sizes


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, SIZE // 2, SIZE - 1])
def test_a_value_is_found_in_every_part(backend, parts, number, at):
    x = backend.tensor((SIZE,))
    x.write()[...] = 1
    assert has_finite_values(backend, x)
    x.update()[at] = number
    assert not has_finite_values(backend, x)
    assert sum(parts) == 2 * SIZE
    assert len(parts) == 2 * backend.threads


@pytest.mark.parametrize("data_type", [DataType.F32, DataType.BF16])
@pytest.mark.parametrize("number", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_stored_value_is_found_at_every_place(native_backend, number, data_type):
    """The C kernel looks at values as they are stored, in chunks."""
    backend = native_backend
    size = 40_001
    described = TaggedLayout((size,), ONE_AXIS, data_type)
    layout = Layout.of(described.handle, (size,))
    for at in (0, 16_384, size - 1):
        plain, x = backend.tensor((size,)), backend.tensor((size,))
        plain.set(np.full(size, -3e38))
        backend.reorders(layout, plain.source(layout), layout, x.target(layout))
        assert x.stored is layout
        assert has_finite_values(backend, x)
        plain.update()[at] = number
        backend.reorders(layout, plain.source(layout), layout, x.target(layout))
        assert not has_finite_values(backend, x)


def test_large_finite_values_are_finite(backend):
    x = backend.tensor((SIZE,))
    x.write()[...] = np.finfo(np.float32).max
    assert has_finite_values(backend, x)


def test_a_small_tensor_needs_one_thread(backend, parts):
    x = backend.tensor((199,))
    assert has_finite_values(backend, x)
    assert parts == [199]
