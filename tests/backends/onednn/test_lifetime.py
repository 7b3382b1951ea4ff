"""Kernels and backends are freed by their last reference, without the garbage collector."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from cases import CASES
from minicaffe.backends import get_backend
from minicaffe.backends.onednn.backend import OneDnnKernel
from minicaffe.ops.conv import Conv
from probe import Probe

FIRST_CASES = [
    pytest.param(layer_type, cases[0], id=layer_type) for layer_type, cases in CASES.items()
]


@pytest.fixture
def without_collector():
    """Disable the garbage collector."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(("layer_type", "case"), FIRST_CASES)
def test_kernels_are_freed(onednn, without_collector, monkeypatch, layer_type, case):
    kernels, init = [], OneDnnKernel.__init__

    def record(self, *args, **kwargs):
        kernels.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(OneDnnKernel, "__init__", record)
    probe = Probe(layer_type, case, onednn)
    probe.run()
    del probe
    gc.collect()  # The net's own lifetime is not tested here.
    references = [weakref.ref(kernel) for kernel in kernels]
    kernels.clear()
    assert [r() for r in references if r() is not None] == []


def test_backend_is_freed_with_its_scratch_memory(without_collector):
    backend = get_backend("onednn", threads=2)
    x, y = backend.tensor((4, 64, 18, 18)), backend.tensor((4, 64, 18, 18))
    w, dw = backend.tensor((64, 64, 3, 3)), backend.tensor((64, 64, 3, 3))
    w.set(np.ones(w.shape))
    kernel = backend.plan(Conv((3, 3), (1, 1), (1, 1), (1, 1), bias=False), x, w, y)
    kernel.forward(x, w, None, y)
    kernel.backward_data(y, w, x)
    kernel.backward_weights(x, y, dw, None)
    objects = (backend, backend.engine, backend.reorders, backend.scratch, kernel)
    references = [weakref.ref(thing) for thing in objects]
    del backend, objects, kernel, x, y, w, dw
    assert [r() for r in references if r() is not None] == []
