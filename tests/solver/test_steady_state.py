"""After its first iterations, training on the CPU makes nothing anew: no memory, no primitives.

On idle cores; when they become busy, forms for one thread are made of short primitives.
"""

from __future__ import annotations

import tracemalloc

import pytest
from small_nets import FIXED

from minicaffe.backends.onednn.runtime.core_watch import CoreWatch
from minicaffe.backends.onednn.runtime.primitive import Primitive

# Every way of computing that needs memory of its own: Winograd's algorithm and the direct one, LRN
# in NumPy, fused layers, sums of gradients, masks. Its larger blobs and parameters have 1 MiB.
NET = """
name: "steady"
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 4 dim: 64 dim: 32 dim: 32 } shape { dim: 4 } } }
layer { name: "winograd" type: "Convolution" bottom: "data" top: "winograd"
  convolution_param { num_output: 64 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "winograd" top: "winograd" }
layer { name: "norm" type: "LRN" bottom: "winograd" top: "norm" }
layer { name: "branch" type: "Convolution" bottom: "norm" top: "branch"
  convolution_param { num_output: 64 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "branch" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }
layer { name: "sum" type: "Eltwise" bottom: "norm" bottom: "bn" top: "sum" }
layer { name: "pool" type: "Pooling" bottom: "sum" top: "pool"
  pooling_param { kernel_size: 4 stride: 4 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 64 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
# A tenth of a large blob: random numbers, labels, losses, and what Python needs to call.
MOST_BYTES = 100_000


@pytest.fixture
def primitives(monkeypatch):
    """A list that grows with every primitive that is made."""
    made = []
    real = Primitive.__init__

    def init(self, *args, **kwargs):
        made.append(self)
        real(self, *args, **kwargs)

    monkeypatch.setattr(Primitive, "__init__", init)
    monkeypatch.setattr(CoreWatch, "count_wait", lambda *_: None)
    return made


RULES = ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam", "AdamW"]


@pytest.mark.parametrize(
    ("rule", "more"), [*((rule, "") for rule in RULES), ("SGD", "ema_decay: 0.9")]
)
def test_nothing_is_made_anew(make_solver, primitives, rule, more):
    momentum = "" if rule in ("AdaGrad", "RMSProp") else "momentum: 0.9"
    settings = f'{FIXED} type: "{rule}" weight_decay: 0.001 {momentum} {more}'
    solver = make_solver(NET, settings, "onednn")
    solver.step(3)
    known = len(primitives)
    tracemalloc.start()
    try:
        solver.step(1)  # what counts calls and times things is made
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        solver.step(2)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(primitives) == known
    assert peak - before < MOST_BYTES
    assert after - before < MOST_BYTES / 10
