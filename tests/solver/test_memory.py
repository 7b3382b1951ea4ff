"""Estimate of the GPU memory that a training needs, and the error if it does not fit."""

import re

import numpy as np
import pytest

from minicaffe.backends.cuda import CudaBackend
from minicaffe.backends.cuda.kernels import _columns as columns
from minicaffe.errors import DeviceMemoryError
from probe import net_from_text

NET = """name: "images"
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: {batch} dim: 3 dim: 32 dim: 32 } shape { dim: {batch} } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 16 kernel_size: 5 pad: 2 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 32 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv2" top: "ip"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SETTINGS = 'base_lr: 0.01 lr_policy: "fixed" max_iter: 3 type: "{}" snapshot_after_train: false'
MIB = 1 << 20


@pytest.fixture
def backend(emulated_device, monkeypatch):
    # Columns of few images: cuDNN, which this device does not have, needs no more either.
    monkeypatch.setattr(columns, "CHUNK_BYTES", MIB // 2)
    return CudaBackend(emulated_device, "fp32")


def needed(message):
    """Return the MiB that a message says are needed and free, and the batch that it advises."""
    found = re.search(r"about (\d+) MiB .* (\d+) MiB are free.*fits is about (\d+),", message)
    return tuple(map(int, found.groups()))


def refused(make_solver, backend, batch, free, rule="SGD", net=NET):
    """Return the message about a training for which so many bytes are free."""
    heap = backend.device.heap
    total, heap.total_bytes = heap.total_bytes, heap.used_bytes + free
    with pytest.raises(DeviceMemoryError) as caught:
        make_solver(net.replace("{batch}", str(batch)), SETTINGS.format(rule), backend)
    heap.total_bytes = total
    return str(caught.value)


def test_advised_batch_fits_and_the_estimate_is_near(make_solver, backend):
    heap, free = backend.device.heap, 10 * MIB
    message = refused(make_solver, backend, 64, free)
    need, stated, batch = needed(message)
    assert message.startswith("solver_net.prototxt: training net ")
    assert 'training net "images" needs about' in message
    assert stated <= free // MIB < need
    assert 0 < batch < 64
    heap.total_bytes = heap.used_bytes + free
    before = heap.used_bytes
    solver = make_solver(NET.replace("{batch}", str(batch)), SETTINGS.format("SGD"), backend)
    solver.step(2)
    assert 0.65 < (heap.used_bytes - before) / free < 1
    heap.total_bytes = 4096 * MIB


def test_all_that_is_counted(make_solver, backend):
    few = needed(refused(make_solver, backend, 64, 8 * MIB))[0]
    assert needed(refused(make_solver, backend, 128, 8 * MIB))[0] == pytest.approx(2 * few, rel=0.1)


def test_sixteen_bits_take_half(make_solver, backend, emulated_device):
    wide = needed(refused(make_solver, backend, 128, 4 * MIB))[0]
    narrow = needed(refused(make_solver, CudaBackend(emulated_device, "bf16"), 128, 4 * MIB))[0]
    assert narrow == pytest.approx(wide / 2, rel=0.1)


def test_history_counts(make_solver, backend):
    """9000 x 100 parameters: values, gradients, and one or two blobs of history."""
    net = """layer { name: "x" type: "Input" top: "x" top: "y"
      input_param { shape { dim: 1 dim: 9000 } shape { dim: 1 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
      inner_product_param { num_output: 100 } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }"""
    found = []
    for rule in ("SGD", "Adam"):
        message = refused(make_solver, backend, 1, 4 * MIB, rule, net)
        assert "Not even a batch_size of 1 fits" in message
        found.append(int(re.search(r"about (\d+) MiB", message)[1]))
    assert found == [10, 14]


def test_layer_is_named_when_memory_runs_out(backend):
    net = net_from_text(NET.replace("{batch}", "16"), backend=backend)
    heap = backend.device.heap
    heap.total_bytes = heap.used_bytes + MIB
    where = r'^net.prototxt:\d+, layer "conv1" \(Convolution\): \d+ bytes of device memory'
    with pytest.raises(DeviceMemoryError, match=where):
        net.forward()
    heap.total_bytes = 4096 * MIB
    net.forward()
    heap.total_bytes = heap.used_bytes
    with pytest.raises(DeviceMemoryError, match=r'layer "(loss|ip)"'):
        net.backward()
    heap.total_bytes = 4096 * MIB
    net.backward()
    assert np.isfinite(net.blobs["conv1"].diff.get()).all()


def test_layer_is_named_while_the_net_is_built(emulated_device):
    backend = CudaBackend(emulated_device, "fp32")
    emulated_device.heap.total_bytes = emulated_device.heap.used_bytes + 1000
    with pytest.raises(DeviceMemoryError, match=r'layer "pool1" \(Pooling\): '):
        net_from_text(NET.replace("{batch}", "2"), backend=backend)
