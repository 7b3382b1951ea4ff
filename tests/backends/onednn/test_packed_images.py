"""Layers behind a convolution, which leaves images in packed layouts, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from probe import REFERENCE, make_backend, net_from_text
from tolerances import Tolerance, assert_close

# Of float32, after three layers.
ALLOWED = Tolerance(absolute=1e-4, relative=1e-3)
SIZE = "dim: 3 dim: 4 dim: 8 dim: 12"
INPUT = f'layer {{ name: "in" type: "Input" top: "d" input_param {{ shape {{ {SIZE} }} }} }}'


def convolution(name, bottom, top, channels):
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{top}" '
        f"convolution_param {{ num_output: {channels} kernel_size: 1 bias_term: false }} }}"
    )


POOL = """
layer { name: "p" type: "Pooling" bottom: "x" top: "u" top: "m"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
"""
FACTORS = """
layer { name: "p" type: "Pooling" bottom: "x" top: "a"
  pooling_param { pool: AVE global_pooling: true } }
"""
LAYERS = {
    "Axpy": (FACTORS, 'bottom: "a" bottom: "x" bottom: "x"'),
    "BN": ("", 'bottom: "x" bn_param { slope_filler { type: "gaussian" } }'),
    "DepthwiseConvolution": (
        "",
        'bottom: "x" convolution_param { num_output: %d kernel_size: 3 '
        'weight_filler { type: "gaussian" } }',
    ),
    "Interp": ("", 'bottom: "x" interp_param { height: 13 width: 7 }'),
    "Normalize": ("", 'bottom: "x" norm_param { across_spatial: false }'),
    "Permute": ("", 'bottom: "x" permute_param { order: 0 order: 2 order: 3 order: 1 }'),
    "Reorg": ("", 'bottom: "x" reorg_param { stride: 2 }'),
    "ReLU6": ("", 'bottom: "x"'),
    "ShuffleChannel": ("", 'bottom: "x" shuffle_channel_param { group: 4 }'),
    "Upsample": ("", 'bottom: "x" upsample_param { scale: 3 }'),
    "Upsample by a mask": (POOL, 'bottom: "u" bottom: "m"'),
}


def run(text, backend, phase="TRAIN"):
    """Return the top and all gradients of a net; the values depend on the shapes alone."""
    return results(net_from_text(text, phase, backend=backend))


def results(net):
    rng = np.random.default_rng(0)
    for blob in [net.blobs["d"], *(p.blob for p in net.parameters)]:
        blob.data.set(np.abs(rng.standard_normal(blob.shape)))
    for _ in range(2):  # plans of the first pass are used again
        net.clear_param_diffs()
        net.forward()
        net.blobs["z"].diff.set(np.random.default_rng(1).standard_normal(net.blobs["z"].shape))
        net.backward()
    gradients = {str(i): p.blob.diff.get() for i, p in enumerate(net.parameters)}
    return {"z": net.blobs["z"].data.get(), "d": net.blobs["d"].diff.get(), **gradients}


@pytest.mark.parametrize("channels", [16, 20, 32])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_between_two_convolutions(name, channels):
    before, settings = LAYERS[name]
    settings = settings.replace("%d", str(channels))
    layer = f'layer {{ name: "l" type: "{name.split()[0]}" top: "y" {settings} }}'
    head, tail = convolution("c", "d", "x", channels), convolution("e", "y", "z", 16)
    text = f"force_backward: true {INPUT} {head} {before} {layer} {tail}"
    got, want = run(text, make_backend("onednn")), run(text, make_backend(REFERENCE))
    assert got.keys() == want.keys()
    for key, values in want.items():
        assert_close(got[key], values, ALLOWED, key)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("settings", ["frozen: true", "bn_mode: INFERENCE", "momentum: 0.5"])
def test_a_convolution_computes_a_linear_batch_norm_as_well(settings, phase):
    head, tail = convolution("c", "d", "x", 20), convolution("e", "x", "z", 16)
    norm = f'layer {{ name: "n" type: "BN" bottom: "x" top: "x" bn_param {{ {settings} }} }}'
    relu = 'layer { name: "r" type: "ReLU" bottom: "x" top: "x" }'
    text = f"{INPUT} {head} {norm} {relu} {tail}"
    net = net_from_text(text, phase, backend=make_backend("onednn"))
    net.forward()
    is_linear = phase == "TEST" or settings != "momentum: 0.5"
    fused = [step.layer.name for step in net.steps if step.is_fused]
    assert fused == (["n", "r"] if is_linear else [])
    got, want = results(net), run(text, make_backend(REFERENCE), phase)
    for key, values in want.items():
        assert_close(got[key], values, ALLOWED, key)
