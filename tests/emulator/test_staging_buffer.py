"""A staging buffer of the emulated device finds out what a GPU would do wrong without a word."""

import numpy as np
import pytest

from emulator import DeviceFault
from minicaffe.backends.cuda.driver.device import CannotCapture


@pytest.fixture
def staging(device):
    return device.staging(64)


def fill(staging, value):
    staging.wait()
    staging.host[:] = value


def content(device, staging):
    values = np.empty(64, np.uint8)
    device.download(staging.address, values)
    return set(values.tolist())


def test_uploaded_values_are_readable_from_acquire_to_release(device, staging):
    for value in (1, 2, 3):
        fill(staging, value)
        staging.upload()
        assert content(device, staging) == {0xA7}
        staging.acquire()
        assert content(device, staging) == {value}
        staging.release()
        assert content(device, staging) == {0xA7}


def test_it_may_be_filled_once_the_upload_has_arrived(device, staging):
    fill(staging, 1)
    staging.upload()
    fill(staging, 2)
    staging.acquire()
    assert content(device, staging) == {1}


def test_an_upload_that_was_not_acquired_may_be_replaced(device, staging):
    for value in (1, 2):
        fill(staging, value)
        staging.upload()
    staging.acquire()
    assert content(device, staging) == {2}


def test_filling_while_it_is_uploaded(staging):
    fill(staging, 1)
    staging.upload()
    staging.host[7] = 2
    with pytest.raises(DeviceFault, match="changed on the host while it was uploaded"):
        staging.acquire()


def test_upload_before_release(staging):
    staging.upload()
    staging.acquire()
    with pytest.raises(DeviceFault, match="uploaded that was not released"):
        staging.upload()


def test_upload_twice(staging):
    staging.upload()
    with pytest.raises(DeviceFault, match="uploaded twice without a wait"):
        staging.upload()


def test_acquire_and_release_out_of_order(staging):
    with pytest.raises(DeviceFault, match="acquired that was not uploaded"):
        staging.acquire()
    with pytest.raises(DeviceFault, match="released that was not acquired"):
        staging.release()


def test_kernels_and_copies_read_only_acquired_buffers(device, staging):
    other = device.allocate(64)
    staging.upload()
    with pytest.raises(DeviceFault, match="copy: a staging buffer is read that was not acquired"):
        device.copy(staging.address + 16, other.address, 32)
    staging.acquire()
    device.copy(staging.address + 16, other.address, 32)


def test_a_buffer_is_uploaded_but_not_acquired_during_capture(device, staging):
    def work():
        fill(staging, 5)
        staging.upload()
        for refused in (staging.acquire, staging.release):
            with pytest.raises(CannotCapture):
                refused()

    device.capture(work)
    staging.acquire()
    assert content(device, staging) == {5}
