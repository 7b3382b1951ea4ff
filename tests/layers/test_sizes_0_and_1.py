"""Tensors without values (empty batches, no channels, no pixels), and sums of a single value."""

from __future__ import annotations

import numpy as np
import pytest

from cases import CASES
from minicaffe.errors import MinicaffeError
from probe import REFERENCE, Probe, make_backend, net_from_text

ALL = [
    pytest.param(layer_type, case, id=f"{layer_type}-{case.name.replace(' ', '_')}")
    for layer_type, cases in sorted(CASES.items())
    for case in cases
    if case.bottoms
]
every_case = pytest.mark.parametrize(("layer_type", "case"), ALL)


def empty_shapes(case, axis):
    """Return the shapes of the bottoms with size 0 along an axis, or along the last one."""
    shapes = {}
    for name, shape in case.shapes.items():
        at = min(axis, len(shape) - 1)
        shapes[name] = (*shape[:at], 0, *shape[at + 1 :]) if shape else shape
    return shapes


def run(layer_type, case, backend, shapes):
    """Return what a layer gives, or the message if it refuses the shapes."""
    try:
        probe = Probe(layer_type, case, backend, shapes)
    except MinicaffeError as error:
        return str(error)
    inputs = probe.inputs()
    # Labels and indices are 0, which is valid wherever there is a class or a row.
    first = next(iter(inputs))
    for name in inputs:
        is_index = name != first and name not in probe.gradients
        if is_index or inputs[name].shape != shapes[name]:
            inputs[name] = np.zeros(shapes[name])
    probe.inputs = lambda: inputs
    return probe.run()


def single_shapes(case, kept):
    """Return the shapes of the bottoms with size 1 along all axes but one."""
    return {
        name: tuple(n if k == kept else 1 for k, n in enumerate(shape))
        for name, shape in case.shapes.items()
    }


@pytest.mark.parametrize("axis", [0, 1, 2])
@every_case
def test_an_axis_of_size_0(layer_type, case, axis, backend):
    check_against_reference(layer_type, case, backend, empty_shapes(case, axis))


@pytest.mark.parametrize("kept", [None, 0, 1])
@every_case
def test_axes_of_size_1(layer_type, case, kept, backend):
    """Sums over these axes have one term, which a library may refuse as nothing to reduce."""
    if case.is_stochastic and backend.name != "reference":
        pytest.skip("backends need not draw the same numbers")
    check_against_reference(layer_type, case, backend, single_shapes(case, kept))


def check_against_reference(layer_type, case, backend, shapes):
    got = run(layer_type, case, backend, shapes)
    want = run(layer_type, case, make_backend(REFERENCE), shapes)
    if isinstance(want, str):
        assert got == want
        assert want.startswith("net.prototxt:")
        assert "\n" not in want
        return
    for name in want:
        assert np.isfinite(want[name]).all(), name
        np.testing.assert_allclose(got[name], want[name], rtol=1e-3, atol=1e-4, err_msg=name)


FILTER = """
layer { name: "in" type: "Input" top: "x" top: "keep"
        input_param { shape { dim: 4 dim: 6 dim: 5 dim: 3 } shape { dim: 4 } } }
layer { name: "f" type: "Filter" bottom: "x" bottom: "keep" top: "z" }
"""
LAST = 'layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }'
WEIGHTS = 'weight_filler { type: "xavier" }'
CONV = f"convolution_param {{ num_output: 5 kernel_size: 2 {WEIGHTS} }}"
BEHIND = {
    "Slice": ("Slice", "slice_param { axis: 1 slice_point: 2 }"),
    "Convolution": ("Convolution", CONV),
    "InnerProduct": ("InnerProduct", f"inner_product_param {{ num_output: 5 {WEIGHTS} }}"),
    "BatchNorm": ("BatchNorm", ""),
    "LRN": ("LRN", ""),
    "max": ("Pooling", "pooling_param { pool: MAX kernel_size: 2 }"),
    "average": ("Pooling", "pooling_param { pool: AVE kernel_size: 2 pad: 1 }"),
    "PReLU": ("PReLU", ""),
    "Softmax": ("Softmax", ""),
    "Eltwise": ("Eltwise", ""),
    "Scale": ("Scale", "scale_param { bias_term: true }"),
    "Concat": ("Concat", "concat_param { axis: 0 }"),
}


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("name", BEHIND)
def test_layers_behind_a_filter_that_keeps_nothing(name, phase, backend):
    """Keeps some samples, then none, then some again; a ReLU in place may be fused."""
    kind, settings = BEHIND[name]
    more = {"Slice": 'top: "y2"', "Eltwise": 'bottom: "z"', "Concat": 'bottom: "x"'}.get(name, "")
    layer = f'name: "a" type: "{kind}" bottom: "z" top: "y" {more} {settings}'
    net = net_from_text(
        f"force_backward: true {FILTER}layer {{ {layer} }}"
        f' layer {{ name: "r" type: "ReLU" bottom: "y" top: "y" }} {LAST}',
        phase,
        backend=backend,
    )
    x = np.random.default_rng(0).standard_normal(net.blobs["x"].shape)
    layer, results = net.layers[net.layer_index("a")], []
    for keep in ([0, 1, 1, 0], [0] * 4, [0, 1, 1, 0]):
        net.blobs["x"].data.set(x)
        net.blobs["keep"].data.set(keep)
        before = [blob.data.get() for blob in layer.blobs]
        net.clear_param_diffs()
        net.forward()
        net.backward()
        diffs = [blob.diff.get() for blob in layer.blobs]
        results.append([net.blobs["loss"].data.get(), net.blobs["x"].diff.get(), *diffs])
        if not any(keep):
            assert all(not diff.any() for diff in diffs)
            # The statistics of a batch normalisation as well.
            for old, blob in zip(before, layer.blobs, strict=True):
                np.testing.assert_array_equal(old, blob.data.get())
    for first, last in zip(results[0], results[2], strict=True):
        np.testing.assert_allclose(first, last, rtol=1e-5, atol=1e-6)
