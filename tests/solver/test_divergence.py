"""A training that has diverged shows it, however the fastest kernels treat what is no number."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emulator import EmulatedDevice, reason_to_skip
from emulator.dnn import EmulatedDnn
from minicaffe.backends import get_backend
from minicaffe.backends.cuda import CudaBackend
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.net.weights import copy_trained_layers, save_net
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


def emulated(**options):
    if reason := reason_to_skip():
        pytest.skip(reason)
    device = EmulatedDevice(KERNELS)
    device.dnns = (EmulatedDnn(device),)
    return CudaBackend(device, **options)


BACKENDS = {
    "reference": ReferenceBackend,
    "onednn": lambda: get_backend("onednn"),
    "cuda": emulated,
    "cuda, nothing recorded": lambda: emulated(captures=False),
    "cuda, fp16": lambda: emulated(precision="fp16"),
}


@pytest.fixture(params=BACKENDS)
def solver(make_solver, request):
    solver = make_solver(NET, SETTINGS, BACKENDS[request.param]())
    data, labels = solver.net.inputs
    data.data.set(np.random.default_rng(0).standard_normal(data.shape))
    labels.data.set([0, 1, 2, 0])
    return solver


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


def test_weights_from_a_file_make_the_loss_a_number_again(solver):
    save_net(solver.net, "good.caffemodel")
    solver.step(25)
    copy_trained_layers(solver.net, "good.caffemodel")
    solver.net.forward()
    assert math.isfinite(solver.net.loss())
