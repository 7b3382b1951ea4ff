"""The stand-in for CuPy computes as NumPy does and refuses what CuPy refuses."""

import numpy as np
import pytest

from emulator import DeviceArray, DeviceFault
from emulator.values import floats


@pytest.fixture
def array(device, random):
    x = floats(device, random, 3, 4)
    return device.array(x.memory, (3, 4))


def test_arrays_lie_in_device_memory_and_keep_it(device, random):
    x = floats(device, random, 3, 4)
    row = device.array(x.memory, (3, 4))[1]
    row += 1
    np.testing.assert_array_equal(x.get()[1], row.get())
    address = x.address
    del x
    device.clear(address, 48)
    assert not row.get().any()
    del row
    with pytest.raises(DeviceFault, match="freed"):
        device.clear(address, 48)


def test_arrays_compute_as_numpy_does(device, array):
    xp, host = device.xp, array.get()
    for found, expected in (
        (array.T @ array * 2 - 1, host.T @ host * 2 - 1),
        (xp.maximum(array, 0).sum(1, keepdims=True), np.maximum(host, 0).sum(1, keepdims=True)),
        (np.exp(array)[::2, 1:], np.exp(host)[::2, 1:]),
        (xp.where(array > 0, array, np.float32(3)), np.where(host > 0, host, 3)),
        (xp.concatenate([array, array], axis=1), np.concatenate([host, host], 1)),
        (xp.take_along_axis(array, array.argsort(axis=1), axis=1), np.sort(host)),
        (array.max(), host.max()),
        (np.sum(array), host.sum()),
    ):
        assert isinstance(found, DeviceArray)
        np.testing.assert_allclose(found.get(), expected, rtol=1e-5)


def test_an_element_is_a_view(array):
    first = array[0, 0]
    first[...] = 5
    assert float(array[0, 0]) == 5


def test_results_are_written_where_they_are_wanted(device, array):
    out = device.xp.empty(array.shape, np.float32)
    assert np.isnan(out.get()).all()
    assert device.xp.add(array, 1, out=out) is out
    device.xp.add.at(out, (device.xp.asarray([0, 0]), 1), 1)
    expected = array.get() + 1
    np.add.at(expected, ([0, 0], 1), 1)
    np.testing.assert_array_equal(out.get(), expected)


def test_host_and_device_do_not_mix(device, array):
    xp, host = device.xp, np.ones((3, 4), np.float32)
    for mix in (
        lambda: array + host,
        lambda: host + array,
        lambda: xp.maximum(array, host),
        lambda: np.maximum(host, array),
        lambda: array.dot(host.T),
        lambda: xp.concatenate([array, host]),
        lambda: array.__setitem__(0, host[0]),
        lambda: host.__setitem__(0, array[0]),
        lambda: xp.add(array, 1, out=host),
        lambda: np.asarray(array),
        lambda: np.array([array, array]),
        lambda: np.testing.assert_array_equal(array, host),
    ):
        with pytest.raises(TypeError):
            mix()


def test_memory_of_the_host_is_copied(device):
    host = np.zeros(3, np.float32)
    array = device.xp.asarray(host)
    array += 1
    assert not host.any()
    array.set(host)
    assert not array.get().any()


def test_the_host_waits_for_values(device, array):
    before = device.counts["wait"]
    for ask in (
        lambda: float(array[0, 0]),
        lambda: int(array[0, 0]),
        lambda: bool(array[0, 0]),
        lambda: array[0, 0].item(),
        lambda: device.xp.flatnonzero(array),
        lambda: array[array > 0],
        lambda: device.xp.asnumpy(array),
    ):
        ask()
        before += 1
        assert device.counts["wait"] == before


def test_what_cupy_lacks_is_missing(device, array):
    xp = device.xp
    for ask in (
        lambda: xp.errstate,
        lambda: xp.nditer,
        lambda: xp.exp.at,
        lambda: xp.maximum.reduce,
        lambda: array.newbyteorder,
    ):
        with pytest.raises(AttributeError):
            ask()
    with pytest.raises(TypeError, match="sum: CuPy's takes"):
        array.sum(where=True)
    with pytest.raises(TypeError, match="clip: CuPy's takes"):
        xp.clip(array, min=0, max=1)
    assert xp.get_array_module(array) is xp
    assert xp.get_array_module(array.get()) is np
    assert xp.float32 is np.float32
