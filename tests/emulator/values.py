"""Arrays on the device, for tests that launch kernels themselves."""

import numpy as np


class Values:
    """An array on the device, with its memory.

    Parameters
    ----------
    device : EmulatedDevice
    values : array_like
        What it holds at first; `get` returns arrays of the same type and shape.
    """

    def __init__(self, device, values):
        self._device = device
        self._host = np.array(values)
        self.memory = device.allocate(self._host.nbytes)
        self.address = self.memory.address
        device.upload(self.address, self._host)

    def get(self):
        """Return a copy in host memory."""
        found = np.empty_like(self._host)
        self._device.download(self.address, found)
        return found


def floats(device, random, *shape):
    """Return normally distributed float32 values of a shape, on the device."""
    return Values(device, random.standard_normal(shape, np.float32))
