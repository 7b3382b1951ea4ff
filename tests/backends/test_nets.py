"""Whole nets on fast backends compared with the reference: layouts pass from layer to layer."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.reference import ReferenceBackend
from probe import BACKEND_NAMES, REFERENCE, backend_or_skip, net_from_text
from tolerances import Tolerance, assert_close

# Rounding errors of float32 accumulate over the layers.
ALLOWED = Tolerance(absolute=1e-4, relative=1e-3)

INPUT = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 3 dim: 3 dim: 13 dim: 11 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 3 } } }
"""
LOSS = """
layer { name: "ip" type: "InnerProduct" bottom: "last" top: "ip"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def conv(name, bottom, outputs, kernel=3, pad=1, bias="true"):
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
        f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} pad: {pad} "
        f"bias_term: {bias} "
        'weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } } }\n'
    )


def layer(name, kind, bottoms, top, settings=""):
    wires = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {wires} top: "{top}" {settings} }}\n'


def block(name, bottom, outputs, in_place):
    """Return Convolution, BatchNorm, Scale and ReLU as in published nets."""
    tops = [name] * 3 if in_place else [f"{name}_bn", f"{name}_scale", f"{name}_relu"]
    return (
        # A bias has no effect before a normalisation: its gradient would be rounding noise.
        conv(name, bottom, outputs, bias="false")
        + layer(f"bn_{name}", "BatchNorm", name, tops[0])
        + layer(f"scale_{name}", "Scale", tops[0], tops[1], "scale_param { bias_term: true }")
        + layer(f"relu_{name}", "ReLU", tops[1], tops[2])
    )


POOL = "pooling_param { pool: %s kernel_size: 3 stride: 2 }"
RECURRENT = 'recurrent_param { num_output: 9 weight_filler { type: "xavier" } }'
RELU = layer("relu1", "ReLU", "c1", "c1")
NETS = {
    "chain": conv("c1", "data", 20)
    + RELU
    + layer("norm", "LRN", "c1", "n1", "lrn_param { local_size: 5 alpha: 0.1 }")
    + layer("p1", "Pooling", "n1", "p1", POOL % "MAX")
    + conv("c2", "p1", 9)
    + layer("last", "Pooling", "c2", "last", POOL % "AVE"),
    "batch norm in place": block("c1", "data", 16, True) + block("last", "c1", 9, True),
    "batch norm": block("c1", "data", 10, False) + conv("last", "c1_relu", 8),
    "residual": conv("c1", "data", 16)
    + RELU
    + conv("c2", "c1", 16)
    + layer("sum", "Eltwise", "c1 c2", "sum")
    + layer("relu", "ReLU", "sum", "sum")
    + conv("last", "sum", 5),
    "inception": conv("c1", "data", 16)
    + RELU
    + conv("a", "c1", 8, 1, 0)
    + layer("relu_a", "ReLU", "a", "a")
    + conv("b", "c1", 16)
    + layer("p", "Pooling", "c1", "p", "pooling_param { kernel_size: 3 stride: 1 pad: 1 }")
    + layer("last", "Concat", "a b p", "last"),
    "learned slopes": conv("c1", "data", 9)
    + layer("slope", "PReLU", "c1", "c1")
    + conv("last", "c1", 16)
    + layer("slope2", "PReLU", "last", "last", "prelu_param { channel_shared: true }"),
    "two ways": conv("c1", "data", 16)
    + 'layer { name: "cut" type: "Slice" bottom: "c1" top: "s1" top: "s2" }\n'
    + layer("bend1", "ELU", "s1", "s1")
    + layer("bend2", "Exp", "s2", "e2", "exp_param { scale: 0.5 }")
    + layer("max", "Eltwise", "s1 e2", "m", "eltwise_param { operation: MAX }")
    + conv("c2", "m", 8)
    + layer("product", "Eltwise", "c2 m", "last", "eltwise_param { operation: PROD }")
    + layer("bias", "Bias", "last", "last"),
    "recurrent": conv("c1", "data", 8)
    + layer("steps", "Reshape", "c1", "x", "reshape_param { shape { dim: 0 dim: 4 dim: -1 } }")
    + 'layer { name: "cont" type: "DummyData" top: "cont" dummy_data_param { '
    'data_filler { type: "constant" value: 1 } shape { dim: 3 dim: 4 } } }\n'
    + layer("lstm", "LSTM", "x cont", "y", RECURRENT)
    + layer("bend_y", "TanH", "y", "y")
    + layer("rnn", "RNN", "y cont", "z", RECURRENT)
    + layer("bend_z", "TanH", "z", "z")
    + layer("last", "Reshape", "z", "last", "reshape_param { shape { dim: 3 dim: -1 } }"),
    "flat": conv("c1", "data", 8)
    + RELU
    + layer("flat", "Flatten", "c1", "flat")
    + layer("ip0", "InnerProduct", "flat", "last", "inner_product_param { num_output: 9 }"),
}


def run(net, iterations):
    """Return the blobs, gradients and parameters after some forward and backward passes."""
    rng = np.random.default_rng(5)
    for _ in range(iterations):
        net.blobs["data"].data.set(rng.standard_normal((3, 3, 13, 11)))
        net.blobs["label"].data.set(rng.integers(0, 7, 3))
        net.forward()
        net.backward()
    values = {name: blob.data.get() for name, blob in net.blobs.items()}
    for parameter in net.parameters:
        key = f"{parameter.layer.name}[{parameter.index}]"
        values[key], values[f"{key} diff"] = parameter.blob.data.get(), parameter.blob.diff.get()
    return values


@pytest.fixture(params=[name for name in BACKEND_NAMES if name not in (REFERENCE, "reference")])
def fast(request):
    """Return each other backend that can run here."""
    return backend_or_skip(request.param)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("name", NETS)
def test_net_agrees_with_the_reference(fast, name, phase):
    text = INPUT + NETS[name] + LOSS
    want = run(net_from_text(text, phase, backend=ReferenceBackend(np.float64)), 2)
    got = run(net_from_text(text, phase, backend=fast), 2)
    assert want.keys() == got.keys()
    for key, values in want.items():
        assert_close(got[key], values, ALLOWED, key)


def test_host_views_change_no_result(fast):
    text = INPUT + NETS["residual"] + LOSS
    seen, unseen = (net_from_text(text, backend=fast) for _ in range(2))
    for blob in seen.blobs.values():
        blob.data.host()
        blob.diff.host()
    want = run(unseen, 2)
    for key, values in run(seen, 2).items():
        assert_close(values, want[key], ALLOWED, key)


@pytest.mark.parametrize("name", NETS)
def test_no_layer_of_these_nets_falls_back(fast, name):
    fast.strict = True
    net_from_text(INPUT + NETS[name] + LOSS, backend=fast)
