"""Values that a later in-place layer overwrites before the backward pass: which are kept."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.reference import ReferenceBackend
from probe import net_from_text

INPUT = """force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
"""


def layers(text):
    """Return the prototxt of lines "Type bottom,bottom top"; layers are named l0, l1, ..."""
    written = ""
    for i, line in enumerate(text.split("\n")):
        kind, bottoms, top, *settings = line.split(" ", 3)
        names = " ".join(f'bottom: "{name}"' for name in bottoms.split(","))
        written += (
            f'layer {{ name: "l{i}" type: "{kind}" {names} top: "{top}" {"".join(settings)} }}\n'
        )
    return INPUT + written


def made(text, phase="TRAIN"):
    return net_from_text(layers(text), phase, backend=ReferenceBackend(np.float64))


def kept(text, phase="TRAIN"):
    """Return what the steps copy: "name.bottom" or "name.top"."""
    found = []
    for step in made(text, phase).steps:
        found += [f"{step.layer.name}.bottom" for _ in step._kept_bottoms]
        found += [f"{step.layer.name}.top" for _ in step._kept_tops]
    return found


CONV = "Convolution x y convolution_param { num_output: 3 kernel_size: 2 }"


@pytest.mark.parametrize(
    "text",
    [
        f"{CONV}\nReLU y y",
        f"{CONV}\nBatchNorm y y\nScale y y\nReLU y y",
        # Dropout changes no sign, and its gradient is zero where its top is.
        f"{CONV}\nReLU y y\nDropout y y",
        f"{CONV}\nReLU y y\nReLU y y\nDropout y y",
        # These read their bottom, which is intact.
        "BNLL x y\nScale y y",
        "ReLU x y\nScale y y",
        "LRN x y\nScale y y",
        "Pooling x y pooling_param { kernel_size: 2 }\nScale y y",
        # In place, the kernel saves what it reads.
        f"{CONV}\nScale y y\nPReLU y y\nBNLL y y\nScale y y",
        "Sigmoid x y\nScale y z",
    ],
)
def test_nothing_is_copied_where_backward_finds_what_it_reads(text):
    assert kept(text) == []


@pytest.mark.parametrize(
    ("text", "copies"),
    [
        ("Sigmoid x y\nScale y y", ["l0.top"]),
        ("Softmax x y\nDropout y y", ["l0.top"]),
        (f"{CONV}\nReLU y y\nScale y y", ["l1.top"]),
        (f"{CONV}\nTanH y y\nSigmoid y y\nBias y y", ["l1.top", "l2.top"]),
        ("Sigmoid x y\nFlatten y f\nScale f f", ["l0.top"]),
        # Both copies of the Split, and the view, share the memory of x.
        (f"{CONV}\nFlatten x f\nReLU f f", ["l0.bottom"]),
        (
            "Eltwise x,x y eltwise_param { operation: PROD stable_prod_grad: false }\nScale y y",
            ["l0.top"],
        ),
    ],
)
def test_overwritten_values_are_copied(text, copies):
    assert kept(text) == copies


def test_dropout_in_the_test_phase_overwrites_nothing():
    assert kept("Sigmoid x y\nDropout y y", "TEST") == []


def test_layers_that_do_not_run_backward_copy_nothing():
    text = layers("Sigmoid x y\nScale y y").replace("force_backward: true", "")
    net = net_from_text(text)
    assert not any(step.keeps_tops for step in net.steps)


def test_a_convolution_that_ran_before_its_bottom_was_overwritten_uses_what_it_read():
    net = made(f"{CONV} \nFlatten x f\nReLU f f")
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    weights = net.layers[net.layer_index("l0")].blobs[0]
    weights.data.set(np.random.default_rng(1).standard_normal(weights.shape))
    net.blobs["x"].data.set(x)
    net.forward()
    net.blobs["y"].diff.set(1)
    net.blobs["f"].diff.set(0)
    net.backward()
    want = [[x[:, c, i : i + 3, j : j + 4].sum() for i in (0, 1) for j in (0, 1)] for c in range(3)]
    np.testing.assert_allclose(weights.diff.get().reshape(3, 3, 4)[0], want)


def test_copies_follow_a_new_shape():
    net = made("Sigmoid x y\nScale y y scale_param { filler { value: -2 } }")
    for n in (2, 5, 1):
        x = np.random.default_rng(n).standard_normal((n, 3, 4, 5))
        net.blobs["x"].reshape(x.shape)
        net.blobs["x"].data.set(x)
        net.forward()
        net.blobs["y"].diff.set(np.ones(x.shape))
        net.backward()
        y = 1 / (1 + np.exp(-x))
        np.testing.assert_allclose(net.blobs["x"].diff.get(), -2 * y * (1 - y))


def test_optimize_memory_drops_the_copies():
    net = made("Sigmoid x y\nScale y y", "TEST")
    net.optimize_memory()
    assert not any(step.keeps_tops for step in net.steps)
    net.forward()
