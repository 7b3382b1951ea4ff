"""caffe.set_mode_gpu() on an emulated GPU, and the arrays that others may share."""

import ctypes

import numpy as np
import pytest

import caffe
import no_card
from minicaffe.errors import BackendUnavailable
from minicaffe.pycaffe import session


@pytest.fixture
def gpu(monkeypatch, emulated_device):
    monkeypatch.setattr(session, "_session", session._Session())
    no_card.install(monkeypatch, [None, emulated_device])
    caffe.set_mode_gpu()
    caffe.set_device(1)
    return emulated_device


@pytest.fixture
def net(net_path, gpu):
    caffe.set_random_seed(3)
    net = caffe.Net(net_path, caffe.TRAIN)
    net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal((5, 3, 7, 9))
    net.blobs["label"].data[...] = 1
    return net


class Exported:
    """A blob, told to be in main memory: so it is on the emulated device."""

    def __init__(self, blob):
        self.blob = blob

    def __dlpack__(self, **options):
        return self.blob.__dlpack__(**options)

    def __dlpack_device__(self):
        return (1, 0)


def test_modes(net, net_path, gpu):
    net.forward()
    net.backward()
    found = net.blobs["conv"].data.copy(), net.params["conv"][0].diff.copy()
    assert gpu.launches
    gpu.launches.clear()
    caffe.set_mode_cpu()
    caffe.set_random_seed(3)
    other = caffe.Net(net_path, caffe.TRAIN)
    for name in ("data", "label"):
        other.blobs[name].data[...] = net.blobs[name].data
    other.forward()
    other.backward()
    assert not gpu.launches
    wanted = other.blobs["conv"].data, other.params["conv"][0].diff
    for one, two in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_precision(net_path, gpu):
    found = {}
    for precision in (None, "fp32", "bf16"):
        caffe.set_precision(precision)
        caffe.set_random_seed(3)
        net = caffe.Net(net_path, caffe.TRAIN)
        net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal((5, 3, 7, 9))
        net.blobs["label"].data[...] = 1
        net.forward()
        found[precision] = net.blobs["conv"].data.copy(), net._net.backend.precision
    assert [precision for _, precision in found.values()] == ["tf32", "fp32", "bf16"]
    exact, short = found["fp32"][0], found["bf16"][0]
    assert (exact != short).any()
    np.testing.assert_allclose(exact, short, atol=0.05)


def test_host_arrays_are_fetched_when_asked_for(net):
    net.forward()
    first = net.blobs["conv"].data.copy()
    weights = net.params["conv"][0].data
    weights[...] = 0
    net.params["conv"][1].data[...] = 2
    net.forward()
    assert first.any()
    np.testing.assert_array_equal(net.blobs["conv"].data, np.full(first.shape, 2, np.float32))


def test_gpu_arrays(net):
    blob = net.blobs["data"]
    assert blob.gpu_data.shape == blob.shape
    np.testing.assert_array_equal(blob.gpu_data.get(), blob.data)
    blob.gpu_data[...] = 0
    net.params["conv"][1].gpu_data[...] = 3
    net.forward()
    assert (net.blobs["conv"].data == 3).all()
    net.backward()
    np.testing.assert_array_equal(net.blobs["conv"].gpu_diff.get(), net.blobs["conv"].diff)


def test_addresses(net):
    blob = net.params["conv"][1]
    assert blob.__cuda_array_interface__["data"] == (blob._gpu_data_ptr, False)
    assert blob.__cuda_array_interface__["shape"] == blob.shape
    values = (ctypes.c_float * blob.count).from_address(blob._gpu_data_ptr)
    np.testing.assert_array_equal(values, blob.data)
    _ = blob._gpu_data_ptr
    values[:] = [7] * blob.count
    net.blobs["data"].gpu_data[...] = 0
    net.forward()
    assert (net.blobs["conv"].data == 7).all()
    assert blob._gpu_diff_ptr != blob._gpu_data_ptr


def test_dlpack(net):
    blob = net.params["conv"][1]
    assert blob.__dlpack_device__() == (2, 0)
    shared = np.from_dlpack(Exported(blob))
    np.testing.assert_array_equal(shared, blob.data)


def test_blobs_in_main_memory(net_path, monkeypatch):
    monkeypatch.setattr(session, "_session", session._Session())
    blob = caffe.Net(net_path, caffe.TRAIN).blobs["data"]
    shared = np.from_dlpack(blob)
    blob.data[...] = 5
    assert (shared == 5).all()
    assert blob.__dlpack_device__() == (1, 0)
    assert not hasattr(blob, "__cuda_array_interface__")
    with pytest.raises(BackendUnavailable, match="is in main memory and has no GPU address"):
        _ = blob.gpu_diff
