"""Captured graphs do later what was asked for, and refuse what cannot be captured."""

import numpy as np
import pytest

from emulator import DeviceFault
from emulator.values import floats
from minicaffe.backends.cuda.driver.device import CannotCapture


def test_a_graph_does_in_order_what_was_asked_for(device, kernel, random):
    x, y, z = (floats(device, random, 10) for _ in range(3))
    before = z.get()

    def work():
        device.clear(z.address, 40)
        kernel("add")(1, 32, x.address, z.address, z.address, 10, 1.0)
        device.copy(z.address, y.address, 40)
        kernel("write_at")(1, 1, y.address, 3)

    replay = device.capture(work)
    np.testing.assert_array_equal(z.get(), before)
    assert device.launches == []
    for _ in range(2):
        device.upload(x.address, random.standard_normal(10, np.float32))
        replay()
        expected = x.get()
        np.testing.assert_array_equal(z.get(), expected)
        expected[3] = 1
        np.testing.assert_array_equal(y.get(), expected)
    assert [launch.name for launch in device.launches] == ["add", "write_at"] * 2
    assert device.launches[0].addresses == [x.address, z.address, z.address]
    assert (device.launches[1].grid, device.launches[1].args) == ((1, 1, 1), (y.address, 3))


def test_what_waits_is_refused_while_capture(device, random):
    x = floats(device, random, 4)
    array, host = device.array(x.memory, (4,)), np.zeros(4, np.float32)
    for what, ask in {
        "allocate": lambda: device.allocate(4),
        "upload": lambda: device.upload(x.address, host),
        "download": lambda: device.download(x.address, host),
        "download_async": lambda: device.download_async(x.address, host),
        "synchronize": device.synchronize,
        "capture": lambda: device.capture(lambda: None),
        "get": array.get,
        "add": lambda: array + 1,
    }.items():
        with pytest.raises(CannotCapture, match=f"{what} during graph capture"):
            device.capture(ask)
        assert not device.is_capturing
    assert device.counts["refused"] == 8


def test_a_graph_does_not_keep_memory(device, kernel):
    memory = device.allocate(4)
    address = memory.address
    replay = device.capture(lambda: kernel("write_at")(1, 1, address, 0))
    replay()
    del memory
    with pytest.raises(DeviceFault, match="freed"):
        replay()
