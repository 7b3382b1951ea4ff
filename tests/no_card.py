"""A fake `minicaffe.backends.cuda.driver.cupy_device`, for tests without a GPU."""

import importlib
import sys
from types import ModuleType

from minicaffe.backends.cuda.driver.query import device_query_lines
from minicaffe.errors import BackendUnavailable

MODULE = "minicaffe.backends.cuda.driver.cupy_device"


class FakeRuntime:
    """The functions of CUDA's runtime that describe a GPU; attributes by their codes."""

    attributes = {
        75: 9,
        76: 0,
        8: 49152,
        12: 65536,
        10: 32,
        11: 2147483647,
        1: 1024,
        2: 1024,
        3: 1024,
        4: 64,
        5: 2147483647,
        6: 65535,
        7: 65535,
        13: 1980000,
        9: 65536,
        14: 512,
        40: 3,
        16: 132,
        17: 0,
    }

    def memGetInfo(self):
        return 80_000_000_000, 85_000_000_000

    def getDeviceProperties(self, number):
        return {"name": b"Card number %d" % number}

    def deviceGetAttribute(self, code, number):
        return self.attributes[code]

    def driverGetVersion(self):
        return 13010

    def runtimeGetVersion(self):
        return 13020


def install(monkeypatch, devices):
    """Make the cuda backend find exactly these devices for the rest of the test.

    Parameters
    ----------
    devices : list of Device
    """
    module = ModuleType(MODULE)

    def count_devices():
        if not devices:
            raise BackendUnavailable("no GPU can be used: no driver.")
        return len(devices)

    def open_device(number):
        if number >= count_devices():
            raise BackendUnavailable(f"there is no GPU {number}.")
        return devices[number]

    def query_device(number):
        open_device(number)
        return list(device_query_lines(FakeRuntime(), number, "14.2.0"))

    vars(module).update(
        open_device=open_device, count_devices=count_devices, query_device=query_device
    )
    monkeypatch.setitem(sys.modules, MODULE, module)
    package = importlib.import_module("minicaffe.backends.cuda")
    monkeypatch.setattr(package, "cupy_device", module, raising=False)


def remove_cupy(monkeypatch):
    """Simulate that CuPy is not installed for the rest of the test."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
