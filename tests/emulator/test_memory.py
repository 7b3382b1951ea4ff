"""Memory is guarded on all sides and at all times."""

import ctypes

import numpy as np
import pytest

from emulator import DeviceFault
from emulator.values import floats
from minicaffe.backends.cuda.driver.device import Address
from minicaffe.errors import DeviceMemoryError


def test_new_memory_holds_nan_in_every_type(device):
    memory = device.allocate(64)
    values = np.empty(16, np.float32)
    device.download(memory.address, values)
    assert np.isnan(values).all()
    assert np.isnan(values.view(np.float16)).all()
    assert memory.address % 256 == 0


@pytest.mark.parametrize(("i", "place"), [(10, "after"), (-1, "before"), (60, "after")])
def test_writing_out_of_bounds_is_found(device, kernel, random, i, place):
    x = floats(device, random, 10)
    kernel("write_at")(1, 1, x.address, 9)
    with pytest.raises(DeviceFault, match=f"write_at: written {place} the allocation of 40 bytes"):
        kernel("write_at")(1, 1, x.address, i)
    with pytest.raises(DeviceFault, match=f"written {place}"):
        device.check()
    ctypes.memmove(x.address + 4 * i, b"\xfd\xff\xfd\xff", 4)


def test_a_write_after_the_memory_was_freed_is_found(device):
    memory = device.allocate(8)
    address = memory.address
    del memory
    device.check()
    ctypes.memset(address, 0, 1)
    with pytest.raises(DeviceFault, match=r"written to the allocation of 8 bytes at .* freed"):
        device.check()
    ctypes.memset(address, 0xFB, 1)


def test_pointers_must_lie_in_a_live_allocation(device, kernel):
    memory = device.allocate(8)
    address = memory.address
    kernel("write_at")(1, 1, address + 4, 0)
    with pytest.raises(DeviceFault, match="write_at: address 0x8 is in no allocation"):
        kernel("write_at")(1, 1, Address(8), 0)
    del memory
    with pytest.raises(DeviceFault, match=r"write_at: the allocation of 8 bytes .* was freed"):
        kernel("write_at")(1, 1, address, 0)


def test_copies_stay_inside(device, random):
    x, y = floats(device, random, 6), floats(device, random, 6)
    device.copy(x.address, y.address + 8, 16)
    device.clear(y.address, 8)
    np.testing.assert_array_equal(y.get(), [0, 0, *x.get()[:4]])
    for ask in (
        lambda: device.copy(x.address, y.address, 28),
        lambda: device.clear(x.address + 4, 24),
        lambda: device.upload(x.address, np.zeros(7, np.float32)),
        lambda: device.download(x.address, np.zeros(7, np.float32)),
    ):
        with pytest.raises(DeviceFault, match=r"from byte [04] of the allocation of 24 bytes"):
            ask()
    with pytest.raises(DeviceFault, match="onto themselves"):
        device.copy(x.address, x.address + 4, 16)


def test_memory_runs_out(device):
    device.heap.total_bytes = 1000
    memory = device.allocate(600)
    assert device.memory() == (400, 1000)
    with pytest.raises(DeviceMemoryError, match="401 bytes of device memory asked for; 400 are"):
        device.allocate(401)
    del memory
    assert device.memory() == (1000, 1000)


def test_a_later_download_shows_the_values_of_then(device, random):
    x = floats(device, random, 5)
    expected, found = x.get(), np.zeros(5, np.float32)
    download = device.download_async(x.address, found)
    device.clear(x.address, 20)
    assert np.isnan(found).all()
    download.wait()
    np.testing.assert_array_equal(found, expected)
    assert device.counts["wait"] == 2
