"""The exchange with gradients on an emulated GPU, between captured graphs."""

import numpy as np
import part_data
import pytest
from parallel_training import make_solver
from twin_communicator import TwinCommunicator, TwinDeviceSum

from emulator import EmulatedDevice
from minicaffe.distributed.communicator import ALONE
from minicaffe.errors import BackendUnavailable
from minicaffe.solver.parallel.settings import DataParallel
from probe import make_backend

START = part_data.NET.index('layer { name: "conv"')
FED_NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 6 dim: 2 dim: 7 dim: 5 } shape { dim: 6 } } }
""" + part_data.NET[START:]


class CommunicationFailed(Exception):
    """An error of a fake library."""


def train_fed(settings, communicator, **parallel):
    """Train on an emulated GPU for longer than it takes to capture graphs; return parameters."""
    try:
        backend = make_backend("cuda-channels-last")
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    solver = make_solver(settings, DataParallel(communicator, **parallel), backend, net=FED_NET)
    rng = np.random.default_rng(4)
    for _ in range(5):
        data, label = solver.net.inputs
        data.data.set(rng.standard_normal(data.shape))
        label.data.set(rng.integers(0, 4, label.shape))
        solver.step(1)
    return [p.blob.data.get() for p in solver.net.parameters]


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch):
    """Buckets of few values, so that the net has several."""
    monkeypatch.setattr("minicaffe.distributed.buckets.LARGE_BYTES", 36 * 4)
    monkeypatch.setattr("minicaffe.distributed.buckets.BUCKET_BYTES", 40)


SETTINGS = ["momentum: 0.9", "iter_size: 2", "clip_gradients: 0.05"]


def assert_trained_as_one(found, settings):
    """Compare with a training of one process."""
    for values, wanted in zip(found, train_fed(settings, ALONE), strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("settings", SETTINGS)
def test_gradients_are_staged_through_main_memory(settings):
    communicator = TwinCommunicator()
    assert_trained_as_one(train_fed(settings, communicator), settings)
    assert len(communicator.reduced) >= 5 * 4


@pytest.mark.parametrize("settings", SETTINGS)
def test_gradients_are_summed_on_the_device(settings):
    communicator, device_sum = TwinCommunicator(), TwinDeviceSum()
    assert_trained_as_one(train_fed(settings, communicator, device_sum=device_sum), settings)
    assert not communicator.reduced
    assert {stream for _, stream in device_sum.enqueued} == {EmulatedDevice.stream}
    # Eleven gradients in each iteration.
    assert len(device_sum.enqueued) == 5 * 11


def test_an_error_of_the_device_ends_the_training():
    device_sum = TwinDeviceSum(CommunicationFailed("a GPU is gone"))
    with pytest.raises(CommunicationFailed, match="a GPU is gone"):
        train_fed("", TwinCommunicator(), device_sum=device_sum)


def test_sums_in_a_fixed_order_are_staged_through_main_memory():
    communicator, device_sum = TwinCommunicator(), TwinDeviceSum()
    found = train_fed("momentum: 0.9", communicator, summation_parts=2, device_sum=device_sum)
    assert_trained_as_one(found, "momentum: 0.9")
    assert not device_sum.enqueued
    assert communicator.exchanged


def test_parts_are_added_on_the_device():
    # Both parts of this process have the same rows.
    found = train_fed("momentum: 0.9", ALONE, summation_parts=2)
    assert_trained_as_one(found, "momentum: 0.9")
