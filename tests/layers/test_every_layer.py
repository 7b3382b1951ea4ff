"""One suite for every case of every registered layer type, on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from cases import CASES
from minicaffe.errors import NetError
from minicaffe.layers import LAYERS
from oracles import ORACLES
from probe import REFERENCE, Probe, make_backend
from tolerances import BY_DTYPE, DERIVATIVE, Tolerance, assert_close

# Types that the suite cannot run, and the tests that cover them.
ELSEWHERE = {
    "AnnotatedData": "reads a database: tests/data",
    "ContinuationIndicator": "has no bottoms and no gradient: test_sequence.py",
    "Data": "reads a database: tests/data",
    "DenseImageData": "reads files: tests/data",
    "DummyData": "has no bottoms and no gradient: test_dummy_data.py",
    "HDF5Data": "reads files: tests/data",
    "HDF5Output": "writes a file: tests/data/test_hdf5_data.py",
    "ImageData": "reads files: tests/data",
    "ImageLabelmapData": "reads files: tests/data",
    "ImageSegData": "reads files: tests/data",
    "ImageGtData": "reads files: tests/data/test_image_gt_data.py",
    "Input": "computes nothing; every case here feeds its layer through Input",
    "MemoryData": "reads the program's arrays: tests/data",
    "Python": "runs the user's code: tests/pycaffe/test_python_layer.py",
    "VideoData": "reads files: tests/data",
    "VideoSegmentationData": "reads files: tests/data/test_voxel_data.py",
    "VideoWithVoxelTruthData": "reads files: tests/data/test_voxel_data.py",
    "WindowData": "reads files: tests/data",
}

ALL = [
    pytest.param(layer_type, case, id=f"{layer_type}-{case.name.replace(' ', '_')}")
    for layer_type, cases in sorted(CASES.items())
    for case in cases
]
every_case = pytest.mark.parametrize(("layer_type", "case"), ALL)


def tolerance(backend, case) -> Tolerance:
    allowed = BY_DTYPE[backend.dtype.name]
    if backend.dtype == np.float64:
        return allowed
    factor = case.tolerance_factor
    return Tolerance(allowed.absolute * factor, allowed.relative * factor)


def assert_all_close(got, want, allowed) -> None:
    assert got.keys() == want.keys()
    for name in want:
        assert_close(got[name], want[name], allowed, name)


@pytest.mark.parametrize("layer_type", sorted(LAYERS))
def test_type_is_covered(layer_type):
    if layer_type in ELSEWHERE:
        assert layer_type not in CASES
        return
    assert CASES.get(layer_type), f"add tests/cases for {layer_type}"
    assert layer_type in ORACLES, f"add an oracle for {layer_type} to tests/oracles"


@every_case
def test_values_equal_the_oracle(layer_type, case, backend):
    if case.is_stochastic:
        pytest.skip("random: see test_stochastic.py")
    probe = Probe(layer_type, case, backend)
    inputs, params = probe.inputs(), probe.parameters()
    want = ORACLES[layer_type](
        probe.layer.param, list(inputs.values()), params, case.phase == "TRAIN"
    )
    got = probe.forward(inputs)
    assert len(want) == len(got)
    for name, expected in zip(got, want, strict=True):
        assert_close(got[name], expected, tolerance(backend, case), name)


@every_case
def test_gradient_equals_the_derivative(layer_type, case, backend):
    """Compares float64 with central differences, and every other backend with float64."""
    reference = Probe(layer_type, case, make_backend(REFERENCE))
    want = reference.run()
    if backend.dtype != np.float64:
        if case.is_stochastic and backend.name != "reference":
            pytest.skip("backends need not draw the same numbers: see test_stochastic.py")
        assert_all_close(Probe(layer_type, case, backend).run(), want, tolerance(backend, case))
        return
    inputs = reference.inputs()
    allowed = Tolerance(0.0, DERIVATIVE.relative * case.derivative_factor)
    what = f"directional derivative of {layer_type}/{case.name} with respect to"
    for name in reference.gradients:
        direction = reference.rng(f"direction {name}").standard_normal(inputs[name].shape)
        slope = central_difference(
            lambda h, n=name, d=direction: reference.functional({**inputs, n: inputs[n] + h * d})
        )
        assert_close((want[name] * direction).sum(), slope, allowed, f"{what} {name}")
    for i, blob in enumerate(reference.layer.blobs):
        if i in case.params_without_gradient:
            continue
        values = blob.data.get()
        direction = reference.rng(f"direction param {i}").standard_normal(values.shape)

        def functional(h, blob=blob, values=values, direction=direction):
            blob.data.set(values + h * direction)
            return reference.functional(inputs)

        slope = central_difference(functional)
        blob.data.set(values)
        assert_close((want[f"param {i}"] * direction).sum(), slope, allowed, f"{what} param {i}")


def central_difference(functional, h: float = 1e-6) -> float:
    return (functional(h) - functional(-h)) / (2 * h)


@every_case
def test_bottoms_are_unchanged_by_forward(layer_type, case, backend):
    probe = Probe(layer_type, case, backend)
    inputs = probe.inputs()
    probe.forward(inputs)
    for name, values in inputs.items():
        after = probe.bottoms[name].data.get()
        np.testing.assert_array_equal(after, values.astype(backend.dtype), err_msg=name)


@every_case
def test_outputs_are_overwritten(layer_type, case, backend):
    """`run` fills tops and bottom diffs with NaN before each pass."""
    for name, values in Probe(layer_type, case, backend).run().items():
        assert np.isfinite(values).all(), f"{name}: not finite"


@every_case
def test_parameter_diffs_are_accumulated(layer_type, case, backend):
    probe = Probe(layer_type, case, backend)
    probe.run()
    once = probe.param_diffs()
    probe.backward()
    twice = probe.param_diffs()
    assert_all_close(twice, {k: 2 * v for k, v in once.items()}, tolerance(backend, case))


@every_case
def test_propagate_down_false_does_not_write_the_diff(layer_type, case, backend):
    if case.shares_diff:
        pytest.skip("top and bottom have one diff")
    probe = Probe(layer_type, case, backend)
    probe.forward()
    for name in probe.gradients:
        fresh = Probe(layer_type, case, backend)
        fresh.forward()
        fresh.clear_param_diffs()
        assert (fresh.backward(without=name, fill=7.5)[name] == 7.5).all(), name


@every_case
def test_a_reshaped_layer_equals_a_new_one(layer_type, case, backend):
    """Runs larger, smaller and the first shape again, and compares with nets built for them."""
    probe = Probe(layer_type, case, backend)
    probe.run()
    for shapes in case.other_shapes():
        probe.reshape(shapes)
        probe.fill_parameters()
        got = probe.run()
        want = Probe(layer_type, case, backend, shapes).run()
        assert_all_close(got, want, tolerance(backend, case))


@every_case
def test_in_place_gives_the_same_values_or_an_error(layer_type, case, backend):
    if not (case.bottoms and case.tops):
        pytest.skip("nothing that could be in place")
    allowed = LAYERS[layer_type].in_place if case.in_place is None else case.in_place
    if not allowed:
        with pytest.raises(NetError, match=r'layer "probe" \(\w+\): .*in place'):
            Probe(layer_type, case, backend, in_place=True)
        return
    got = Probe(layer_type, case, backend, in_place=True)
    want = Probe(layer_type, case, backend)
    tops, expected = got.forward(), want.forward()
    assert_all_close(tops, expected, tolerance(backend, case))
    assert_all_close(backward_in_place(got), backward_apart(want), tolerance(backend, case))


def backward_in_place(probe):
    """Run backward where the first top's diff is the first bottom's."""
    probe.clear_param_diffs()
    for name in list(probe.bottoms)[1:]:
        probe.bottoms[name].diff.set(np.nan)
    for name, values in probe.top_diffs().items():
        probe.tops[name].diff.set(values)
    down = [name in probe.gradients for name in probe.bottoms]
    probe.layer.backward(probe.step.top, down, probe.step.bottom)
    return {n: probe.bottoms[n].diff.get() for n in probe.gradients} | probe.param_diffs()


def backward_apart(probe):
    probe.clear_param_diffs()
    return probe.backward()
