"""The exchange with gradients on an emulated GPU, between captured graphs."""

import numpy as np
import part_data
import pytest
from parallel_training import make_solver
from twin_communicator import TwinCommunicator

from minicaffe.distributed.communicator import ALONE
from minicaffe.errors import BackendUnavailable
from minicaffe.solver.parallel.settings import DataParallel
from probe import make_backend

START = part_data.NET.index('layer { name: "conv"')
FED_NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 6 dim: 2 dim: 7 dim: 5 } shape { dim: 6 } } }
""" + part_data.NET[START:]


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


@pytest.mark.parametrize("settings", ["momentum: 0.9", "iter_size: 2", "clip_gradients: 0.05"])
@pytest.mark.parametrize("is_on_device", [False, True])
def test_two_ranks_with_the_same_batch_train_as_one(settings, is_on_device):
    communicator = TwinCommunicator(is_on_device)
    found = train_fed(settings, communicator)
    for values, wanted in zip(found, train_fed(settings, ALONE), strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-7)
    kinds = {kind for kind, _ in communicator.reduced}
    assert kinds == {"DeviceArray" if is_on_device else "ndarray"}
    assert len(communicator.reduced) >= 5 * 4


def test_sums_in_a_fixed_order_are_staged_through_main_memory():
    communicator = TwinCommunicator(reduces_device_arrays=True)
    found = train_fed("momentum: 0.9", communicator, summation_parts=2)
    for values, wanted in zip(found, train_fed("momentum: 0.9", ALONE), strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-7)
    assert not communicator.reduced
    assert communicator.exchanged


def test_parts_are_added_on_the_device():
    # Both parts of this process have the same rows.
    found = train_fed("momentum: 0.9", ALONE, summation_parts=2)
    for values, wanted in zip(found, train_fed("momentum: 0.9", ALONE), strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-7)
