"""A training that has diverged shows it, however the fastest kernels treat what is no number."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from emulator import EmulatedDevice, reason_to_skip
from emulator.dnn import EmulatedDnn
from minicaffe.backends import get_backend
from minicaffe.backends.cuda import CudaBackend
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import DivergedError, SolverError
from minicaffe.net.weights import copy_trained_layers, save_net
from minicaffe.schema import SolverParameter
from probe import KERNELS

# NumPy tells what these nets compute.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
# Whatever comes out of the convolution, a ReLU that replaces NaN by 0 hides it from the loss.
NET = """
name: "hidden"
layer { name: "x" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 4 dim: 2 dim: 5 dim: 5 } shape { dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "pool" bottom: "label" top: "loss" }
"""
SETTINGS = (
    'base_lr: 1e6 weight_decay: 1 lr_policy: "fixed" random_seed: 1 snapshot_after_train: false '
)


def emulated(has_dnn=True, **options):
    if reason := reason_to_skip():
        pytest.skip(reason)
    device = EmulatedDevice(KERNELS)
    device.dnns = (EmulatedDnn(device),) if has_dnn else ()
    return CudaBackend(device, **options)


BACKENDS = {
    "reference": ReferenceBackend,
    "onednn": lambda: get_backend("onednn"),
    "cuda": emulated,
    "cuda, nothing recorded": lambda: emulated(captures=False),
    "cuda, fp16": lambda: emulated(precision="fp16"),
}


def diverging(make_solver, settings, backend="reference"):
    solver = make_solver(NET, settings, backend)
    data, labels = solver.net.inputs
    data.data.set(np.random.default_rng(0).standard_normal(data.shape))
    labels.data.set([0, 1, 2, 0])
    return solver


@pytest.fixture(params=BACKENDS)
def solver(make_solver, request):
    return diverging(make_solver, SETTINGS, BACKENDS[request.param]())


def test_the_loss_of_a_diverged_net_is_not_a_number(solver, caplog_minicaffe):
    solver.step(1)
    assert math.isfinite(solver.losses.values()[-1])
    solver.step(24)
    assert math.isnan(solver.losses.values()[-1])
    assert any("training will not recover" in m for m in caplog_minicaffe.messages)
    # Every reader gets the same value.
    solver.net.forward()
    assert np.isnan(solver.net.blobs["loss"].data.get())
    solver.net.before_forward.append(lambda index: None)
    solver.net.forward()
    assert math.isnan(solver.net.loss())


@pytest.mark.parametrize("name", ["reference", "onednn", "cuda, own kernels"])
def test_the_loss_shows_nan_in_the_data(make_solver, name, caplog_minicaffe):
    backends = {**BACKENDS, "cuda, own kernels": lambda: emulated(has_dnn=False)}
    solver = make_solver(NET, SETTINGS.replace("1e6", "0.01"), backends[name]())
    data, labels = solver.net.inputs
    values = np.random.default_rng(0).standard_normal(data.shape)
    values[1, 0, 2, 3] = np.nan
    data.data.set(values)
    labels.data.set([0, 1, 2, 0])
    solver.step(3)
    assert math.isnan(solver.losses.values()[0])
    warnings = [m for m in caplog_minicaffe.messages if "training will not recover" in m]
    assert len(warnings) == 1
    assert "look for wrong values in the data" in warnings[0]


def test_weights_from_a_file_make_the_loss_a_number_again(solver):
    save_net(solver.net, "good.caffemodel")
    solver.step(25)
    copy_trained_layers(solver.net, "good.caffemodel")
    solver.net.forward()
    assert math.isfinite(solver.net.loss())


SAVING = SETTINGS.replace("snapshot_after_train: false", 'snapshot_prefix: "s" max_iter: 9')


def break_weights(solver, iteration, value=math.nan):
    """Make a weight a number that is not finite before an iteration."""
    weight = solver.net.parameters[0].blob.data

    def change():
        if solver.iter == iteration:
            values = weight.get().copy()
            values[0, 0, 0, 0] = value
            weight.set(values)

    solver.on_start.append(change)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_not_saved(make_solver, caplog_minicaffe, value):
    """The good snapshot that has the same name as a bad one stays as well."""
    settings = SAVING.replace("base_lr: 1e6", "base_lr: 0.01") + "snapshot: 2 "
    diverging(make_solver, settings).solve()
    good = {path.name: path.read_bytes() for path in Path().glob("s_iter_*")}
    caplog_minicaffe.clear()
    solver = diverging(make_solver, settings)
    break_weights(solver, 5, value)
    with pytest.raises(DivergedError) as caught:
        solver.solve()
    assert solver.iter == 9
    message = (
        'no snapshot is written, because parameter 0 of layer "conv" is not finite; earlier '
        "snapshots are unchanged. Resume from the last of them with a lower base_lr, or with "
        "clip_gradients."
    )
    assert str(caught.value) == f"Iteration 9: {message}"
    warnings = [m for m in caplog_minicaffe.messages if "no snapshot" in m]
    assert warnings == [f"Iteration 6: {message} Training goes on, as in Caffe."]
    now = {path.name: path.read_bytes() for path in Path().glob("s_iter_*")}
    assert now == good
    assert {f"s_iter_{i}.caffemodel" for i in (2, 4, 6, 8, 9)} <= good.keys()


def test_infinity_that_is_not_learned_is_saved(make_solver):
    """A mask, for example."""
    net = NET.replace("num_output: 3", "num_output: 3 bias_term: false").replace(
        'bottom: "x"', 'bottom: "x" param { lr_mult: 0 }'
    )
    solver = make_solver(net, SAVING, "reference")
    weight = solver.net.parameters[0].blob.data
    weight.set(np.full(weight.shape, -np.inf))
    solver.snapshot()
    assert Path("s_iter_0.caffemodel").exists()


@pytest.mark.parametrize("backend", BACKENDS)
def test_training_stops_at_a_loss_that_is_not_finite(make_solver, backend):
    settings = SAVING.replace("max_iter: 9", "max_iter: 500") + "stop_at_non_finite_loss: true"
    solver = diverging(make_solver, settings, BACKENDS[backend]())
    with pytest.raises(
        DivergedError,
        match=r"Iteration \d+: the loss is (nan|inf), and .*: stop_at_non_finite_loss is set\.",
    ):
        solver.solve()
    assert solver.iter < 200
    assert not list(Path().glob("s_iter_*"))


FLOAT_FIELDS = [
    field.name
    for field in SolverParameter.DESCRIPTOR.fields
    if field.cpp_type == field.CPPTYPE_FLOAT
]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (field, value)
        for field in FLOAT_FIELDS
        for value in ("nan", "-inf", "inf", "1e39")
        if field != "clip_gradients" or value == "-inf"
    ],
)
def test_settings_that_are_not_finite(make_solver, field, value):
    settings = SETTINGS.replace("base_lr: 1e6", "base_lr: 1" if field != "base_lr" else "")
    settings = settings.replace("weight_decay: 1", "")
    with pytest.raises(SolverError) as caught:
        make_solver(NET, f"{settings}\n{field}: {value}", "reference")
    number = "inf" if value == "1e39" else value
    assert str(caught.value) == (
        f"solver.prototxt:2: {field} must be a finite number, it is {number}"
    )


@pytest.mark.parametrize(("value", "n_warnings"), [("inf", 0), ("nan", 1)])
def test_a_limit_that_clips_nothing(make_solver, caplog_minicaffe, value, n_warnings):
    weights = []
    for settings in ("", f"clip_gradients: {value}"):
        solver = diverging(make_solver, SETTINGS.replace("1e6", "0.1") + settings)
        solver.step(3)
        weights.append([p.blob.data.get() for p in solver.net.parameters])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    warned = [m for m in caplog_minicaffe.messages if "clips nothing" in m]
    assert len(warned) == n_warnings
